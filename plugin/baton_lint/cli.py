"""`baton-lint`: from a command line to an exit status.

Most runs find nothing, in files that have nothing to do with baton. What such a run does not need is imported where
it is needed: the imports inside functions are what makes a run on ten thousand files as fast as grep.
"""

from __future__ import annotations

import gc
import os
import sys

from baton_lint.arguments import USAGE, Arguments, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from baton_lint.config import Config
    from baton_lint.facts import CommentFacts
    from baton_lint.findings import Finding
    from baton_lint.selection import Selection
    from baton_lint.session import Report, Session

CLEAN, FOUND, WRONG = 0, 1, 2


def main(given: list[str] | None = None) -> int:
    """Run `baton-lint`.

    Args:
        given: The command line without the program's name; None takes the process's own.

    Returns:
        0 if nothing was found, 1 if something was, 2 for wrong usage or a file that can't be read.

    Example:
        >>> main(["--version"])
        baton-lint 0.1.0
        0
    """
    enabled = gc.isenabled()
    gc.disable()  # a short life that makes much and throws away little: collecting costs a third of it
    try:
        arguments = Arguments.of(sys.argv[1:] if given is None else given)
        if arguments.has("--help"):
            _print(USAGE.rstrip())
            return CLEAN
        if arguments.has("--version"):
            from baton_dsl.version import __version__

            _print(f"baton-lint {__version__}")
            return CLEAN
        match arguments.command:
            case "explain":
                from baton_lint.commands import explain

                return explain(arguments.paths, _print)
            case "rules":
                from baton_lint.commands import rules

                return rules(_print)
            case "graph":
                return _graph(arguments)
            case "types":
                return _types(arguments)
            case "emit":
                return _emit(arguments)
            case _:
                return _check(arguments)
    except UsageError as error:
        _tell(f"baton-lint: {error}")
        return WRONG
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed with the process
        return FOUND
    except KeyboardInterrupt:
        return 130
    finally:
        if given is None:
            gc.freeze()  # the process ends: Python's last collection would look through all that was made
        elif enabled:
            gc.enable()


class Target:
    """What is to be checked.

    Attributes:
        config: The configuration of the project.
        folders: To be walked.
        files: Given one by one; empty if folders were.
        problems: What can't be checked, a sentence each.
    """

    def __init__(self, paths: list[str]) -> None:
        from baton_lint.config import Config, root_of

        self.folders: list[str] = []
        self.files: list[str] = []
        self.problems: list[str] = []
        for path in paths or ["."]:
            whole = os.path.abspath(path)
            if os.path.isdir(whole):
                self.folders.append(whole)
            elif os.path.isfile(whole):
                self.files.append(whole)
            else:
                self.problems.append(f"{path}: there is no such file or folder")
        first = [*self.folders, *self.files, os.getcwd()][0]
        self.config: Config = Config.of(root_of(first))
        self._given = [*self.folders]
        for path in self.files:  # a flow spans files: one is only understood with its project
            root = root_of(path)
            if root not in self.folders:
                self.folders.append(root)
        self._chosen = tuple(folder + os.sep for folder in self._given)

    def holds(self, path: str) -> bool:
        """Whether findings in a file were asked for."""
        return not self.files or path in self.files or path.startswith(self._chosen)


def _session(arguments: Arguments, target: Target) -> Session:
    from baton_lint.session import Session

    config = target.config
    patterns = [*config.exclude, *arguments.exclude]
    is_excluded: Callable[[str], bool] | None = None
    if patterns:
        from baton_lint.config import matcher

        is_excluded = matcher(patterns, config.root)
    return Session(
        target.folders,
        config.root,
        sources=[os.path.normpath(os.path.join(config.root, folder)) for folder in config.src],
        is_excluded=is_excluded,
        jobs=arguments.jobs or os.cpu_count() or 1,
        extra=target.files,
    )


def _check(arguments: Arguments) -> int:
    target = Target(arguments.paths)
    for problem in (*target.problems, *target.config.problems):
        _tell(problem)
    session = _session(arguments, target)
    report = _run(arguments, target, session)
    findings = _chosen(arguments, target, report)
    if arguments.has("--fix") or arguments.has("--unsafe-fixes") or arguments.has("--diff"):
        from baton_lint.fixes.apply import LibcstMissingError, apply_all

        fixes = [item.fix for item in findings if item.fix and (item.fix[1] or arguments.has("--unsafe-fixes"))]
        try:
            changed = apply_all(fixes, write=not arguments.has("--diff"))
        except LibcstMissingError as error:
            raise UsageError(str(error)) from None
        if arguments.has("--diff"):
            from baton_lint.fixes.difference import difference

            text = difference(changed, _shown)
            if text:
                _print(text)
            return FOUND if changed else CLEAN
        if changed:
            count = sum(len(change.fixes) for change in changed)
            _say(arguments, f"{_count(count, 'finding')} mended in {_count(len(changed), 'file')}")
            report = _run(arguments, target, session)
            findings = _chosen(arguments, target, report)
    for problem in report.problems:
        _tell(problem)
    _output(arguments, findings, report)
    if target.problems or target.config.problems or report.problems:
        return WRONG
    return FOUND if findings else CLEAN


def _run(arguments: Arguments, target: Target, session: Session) -> Report:
    if arguments.has("--no-cache"):
        return session.run()
    from zlib import crc32

    from baton_dsl.version import __version__
    from baton_lint.cache import key_of

    config = target.config
    settings = (config.root, session.folders, session.extra, session.sources, config.exclude, arguments.exclude)
    folder = _cache_folder(arguments, target)
    name = f"{crc32(repr((session.folders, session.extra)).encode()):08x}"
    return session.run(os.path.join(folder, name), key_of(__version__, settings))


def _cache_folder(arguments: Arguments, target: Target) -> str:
    from baton_lint.cache import FOLDER

    return arguments.cache_dir or os.path.join(target.config.root, FOLDER)


def _chosen(arguments: Arguments, target: Target, report: Report) -> list[Finding]:
    """The findings that were asked for and are not ignored by a comment, and the comments that ignore nothing."""
    if not report.catalogue:
        return []
    selection = _selection(arguments, target, report)
    wanted, unused = _wanted(target, report, selection)
    if unused:
        from baton_lint.reporting import unused_comment
        from baton_lint.suppress import UNUSED, is_rule

        for path, comment, code in unused:
            exists = is_rule(code, report.catalogue)
            asked = not exists or not code or selection.has(code)
            if asked and selection.wants(UNUSED, path):
                span = next((span for name, span in comment["codes"] if name == code), comment["span"])
                wanted.append(unused_comment(path, span, code, exists=exists))
        wanted.sort(key=lambda item: item[:6])
    return wanted


def _selection(arguments: Arguments, target: Target, report: Report) -> Selection:
    from baton_lint.config import matcher
    from baton_lint.selection import Selection, UnknownRuleError

    config = target.config
    strict = ["BTN903"] if arguments.has("--strict") or config.strict else []
    try:
        return Selection(
            config.select if arguments.select is None else arguments.select,
            [*config.extend_select, *arguments.extend_select, *strict],
            [*config.ignore, *arguments.ignore],
            [(matcher([pattern], config.root), codes) for pattern, codes in config.per_file_ignores.items()],
            report.catalogue,
        )
    except UnknownRuleError as error:
        raise UsageError(str(error)) from None


def _wanted(
    target: Target, report: Report, selection: Selection
) -> tuple[list[Finding], list[tuple[str, CommentFacts, str]]]:
    """The findings that were asked for and are not ignored, and for each comment each code that ignores nothing."""
    wanted = [item for item in report.findings if target.holds(item.path) and selection.wants(item.code, item.path)]
    if not report.comments:
        return wanted, []
    from baton_lint.suppress import suppress

    comments = {path: here for path, here in report.comments.items() if target.holds(path)}
    return suppress(wanted, comments, report.catalogue)


def _output(arguments: Arguments, findings: list[Finding], report: Report) -> None:
    _show_all(arguments, findings)
    seen = f"{_count(report.flows, 'flow')} of {_count(report.steps, 'step')}"
    if not findings:
        _say(arguments, f"nothing found in {seen}" if report.flows else "no flows found")
        return
    fixable = sum(1 for item in findings if item.fix and item.fix[1])
    hint = f"; --fix mends {fixable}" if fixable else ""
    _say(arguments, f"{_count(len(findings), 'finding')} in {seen}{hint}")


def _show_all(arguments: Arguments, findings: list[Finding]) -> None:
    if arguments.has("--statistics"):
        counts: dict[tuple[str, str], int] = {}
        for item in findings:
            counts[item.code, item.slug] = counts.get((item.code, item.slug), 0) + 1
        for (code, slug), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            _print(f"{count:>5}  {code}  {slug}")
    else:
        form = arguments.format or "text"
        if form == "text":
            for item in findings:
                _print(f"{_shown(item.path)}:{item.line}:{item.column}: {item.code}: {item.message}")
        else:
            from baton_lint.formats import RENDERERS

            text = RENDERERS[form](findings, _shown)
            if text:
                _print(text)


def _graph(arguments: Arguments) -> int:
    target = Target(arguments.paths)
    for problem in (*target.problems, *target.config.problems):
        _tell(problem)
    from baton_lint.commands import graph

    flows = [flow for flow in _session(arguments, target).flows() if arguments.flow in (None, flow.name)]
    if not flows:
        _tell("no flows found" if arguments.flow is None else f'no flow called "{arguments.flow}" found')
    status = graph(flows, arguments.format or "mermaid", _print)
    return WRONG if target.problems or target.config.problems else status


def _types(arguments: Arguments) -> int:
    target = Target(arguments.paths)
    from baton_lint.proving import types

    project, report = _session(arguments, target).importable()
    selection = _selection(arguments, target, report)
    checker = arguments.checker or ""
    cache = None if arguments.has("--no-cache") else _cache_folder(arguments, target)
    report.findings, proof = types(project, checker, arguments.python, cache)
    # which comments ignore nothing is not told: most are there for rules that no checker is asked about
    findings, _ = _wanted(target, report, selection)
    for problem in (*target.problems, *target.config.problems, *report.problems, *proof.problems):
        _tell(problem)
    _show_all(arguments, findings)
    edges = _count(proof.claims, "edge")
    found = _count(len(findings), "finding") if findings else "nothing found"
    _say(arguments, f"{found} in {edges}, asked of {checker}" if report.flows else "no flows found")
    if target.problems or target.config.problems or report.problems or proof.problems:
        return WRONG
    return FOUND if findings else CLEAN


def _emit(arguments: Arguments) -> int:
    target = Target(arguments.paths)
    from baton_lint.proving import emit_to

    project, report = _session(arguments, target).importable()
    for problem in (*target.problems, *target.config.problems, *report.problems):
        _tell(problem)
    edges = emit_to(project, arguments.output, _print)
    _say(arguments, f"{_count(edges, 'edge')} written" if report.flows else "no flows found")
    return WRONG if target.problems or target.config.problems or report.problems else CLEAN


def _shown(path: str) -> str:
    """A path as users read it: from the current folder, if it lies below."""
    here = os.getcwd() + os.sep
    return path.removeprefix(here)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _say(arguments: Arguments, text: str) -> None:
    if not arguments.has("--quiet"):
        _tell(text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
