"""The files to check: the paths of a command line, with the configuration of each folder."""

from __future__ import annotations

import os
import sys

from baton_lint.arguments import UsageError
from baton_lint.config import Configs, root_of
from baton_lint.printing import shown, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from baton_lint.arguments import Arguments
    from baton_lint.config import Config
    from baton_lint.selection import Catalogue, Selection
    from baton_lint.session import Session

STDIN = "-"
"""The path that means a text from the standard input."""


class Target:
    """The files to check.

    Args:
        arguments: The command line.

    Attributes:
        root: The folder of the project.
        folders: The folders to walk.
        files: The single files on the command line; empty if it has folders.
        stdin: The path of the file whose text came from the standard input; None if there is none.
        buffers: That text.
        problems: What can't be checked, one sentence each.
    """

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.folders: list[str] = []
        self.files: list[str] = []
        self.stdin: str | None = None
        self.buffers: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.configs = Configs()
        self._selections: dict[str, Selection] = {}
        if STDIN in arguments.paths:
            self._take_stdin()
        else:
            self._take(arguments.paths or ["."])
        first = [*self.folders, *self.files, os.getcwd()][0]
        self.root = root_of(first)
        self._given = tuple(os.path.join(folder, "") for folder in self.folders)
        for path in self.files:  # a flow spans several files, so a single file must be checked with its project
            root = root_of(path)
            if root not in self.folders:
                self.folders.append(root)

    def _take(self, paths: list[str]) -> None:
        for path in paths:
            whole = os.path.abspath(path)
            if os.path.isdir(whole):
                self.folders.append(whole)
            elif os.path.isfile(whole):
                self.files.append(whole)
            elif os.path.exists(whole):
                self.problems.append(f"{visible(path)}: is neither a file nor a folder")
            else:
                self.problems.append(f"{visible(path)}: there is no such file or folder")

    def _take_stdin(self) -> None:
        if self.arguments.paths != [STDIN]:
            raise UsageError("- means one file, whose text is read from the standard input; name no other path")
        stream = getattr(sys.stdin, "buffer", None)
        data = b"" if stream is None else stream.read()
        self.stdin = os.path.abspath(self.arguments.stdin_filename or STDIN)
        self.files.append(self.stdin)
        self.buffers[self.stdin] = data

    @property
    def config(self) -> Config:
        """The configuration of the project itself."""
        return self.configs.of(self.root)

    @property
    def all_problems(self) -> list[str]:
        """What can't be checked, and what is wrong with configurations, one sentence each."""
        return [*self.problems, *self.configs.problems]

    def holds(self, path: str) -> bool:
        """Whether findings in a file are wanted."""
        return not self.files or path in self.files or path.startswith(self._given)

    def is_inside(self, path: str) -> bool:
        """Whether a file, with all links resolved, is in a folder whose files may be changed."""
        return path.startswith(tuple(os.path.join(os.path.realpath(folder), "") for folder in self.folders))

    def shown(self, path: str) -> str:
        """A path as users see it."""
        return STDIN if path == self.stdin and self.arguments.stdin_filename is None else shown(path)

    def session(self) -> Session:
        """The session for these files."""
        from baton_lint.session import Session

        return Session(
            self.folders,
            self.root,
            sources=self.config.sources,
            is_excluded=self._excluded(self.config),
            excluded_in=lambda folder: self._excluded(self.configs.of(folder)),
            sources_in=lambda folder: self.configs.of(folder).sources,
            jobs=self.arguments.jobs or os.cpu_count() or 1,
            extra=[path for path in self.files if path != self.stdin],
            buffers=self.buffers,
        )

    def _excluded(self, config: Config) -> Callable[[str], bool] | None:
        from_line = self.arguments.exclude
        if not config.exclude and not from_line:
            return None
        from baton_lint.config import matcher

        tests = [matcher(patterns, root) for patterns, root in ((config.exclude, config.root), (from_line, self.root))]
        return lambda path: any(test(path) for test in tests)

    def selection(self, path: str, catalogue: Catalogue) -> Selection:
        """The selected rules for a file.

        Raises:
            UsageError: If the command line names a rule that does not exist.
        """
        config = self.configs.of(os.path.dirname(path))
        if config.root not in self._selections:
            self._selections[config.root] = self._select(config, catalogue)
        return self._selections[config.root]

    def _select(self, config: Config, catalogue: Catalogue) -> Selection:
        from baton_lint.config import matcher
        from baton_lint.selection import Selection, UnknownRuleError, fitting

        arguments = self.arguments

        def known(key: str, selectors: list[str]) -> list[str]:
            """The selectors in the configuration that match a rule. The others are reported."""
            found: list[str] = []
            for selector in selectors:
                try:
                    fitting(selector, catalogue)
                except UnknownRuleError as error:
                    config.problems.append(f"{visible(config.path)}: [tool.baton] {key}: {error}")
                else:
                    found.append(selector)
            return found

        select = None if config.select is None else known("select", config.select)
        extend = known("extend-select", config.extend_select)
        ignore = known("ignore", config.ignore)
        per_file = [
            (matcher([pattern], config.root), known("per-file-ignores", codes))
            for pattern, codes in config.per_file_ignores.items()
        ]
        strict = ["BTN903"] if arguments.has("--strict") or config.strict else []
        try:
            return Selection(
                select if arguments.select is None else arguments.select,
                [*extend, *arguments.extend_select, *strict],
                [*ignore, *arguments.ignore],
                per_file,
                catalogue,
            )
        except UnknownRuleError as error:
            raise UsageError(str(error)) from None
