"""List the Python files, with stamps that show whether they have changed."""

from __future__ import annotations

import os
import stat

from baton_lint.printing import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Stamp = tuple[int, int, int, int]
"""A stamp: mtime, ctime, inode and size. A file with the same four has the same content."""

NEVER = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Folders that are skipped, besides those that begin with a dot or contain a `pyvenv.cfg`."""
USUALLY_NOT = frozenset({"venv", "env", "build", "dist", "_build"})
"""Folders that are skipped unless they are packages."""
ENDINGS = (".py", ".ipynb")
"""The endings of the files that are checked."""


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file, which differs between its versions."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


class Walked:
    """The result of a walk.

    Attributes:
        stamps: The files with their stamps; None for a stamp that was not asked for.
        projects: Nested folders with a pyproject.toml.
        problems: What could not be read, one sentence each.
        left: What was skipped although it may contain source code: a path and the reason.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp | None] = {}
        self.projects: list[str] = []
        self.problems: list[str] = []
        self.left: list[tuple[str, str]] = []


def walk(
    folders: Iterable[str],
    is_excluded: Callable[[str], bool] | None,
    excluded_in: Callable[[str], Callable[[str], bool] | None] | None = None,
    *,
    with_stamps: bool = True,
) -> Walked:
    """Find all Python files and notebooks below some folders.

    Links to files are followed, but links to folders are not, so there are no loops.

    Args:
        folders: The folders to walk, whatever their own names.
        is_excluded: Says whether the user excluded a file or folder.
        excluded_in: Returns the same test for a nested folder with its own pyproject.toml.
        with_stamps: False if every file will be read anyway: the stamp of an open file costs less.
    """
    walked = Walked()
    left = walked.left
    starts = frozenset(folders)
    waiting = [(folder, is_excluded) for folder in sorted(starts)]
    while waiting:
        folder, excluded = waiting.pop()
        inner: list[str] = []
        files: list[tuple[str, Stamp | None]] = []
        is_project = False
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(ENDINGS):
                        is_file, mark = _file(entry, with_stamps=with_stamps)
                        if is_file:
                            files.append((entry.path, mark))
                            continue
                        if not _leads_to_folder(entry):
                            left.append((entry.path, "is no file, or a link to nowhere"))
                    elif name == "pyproject.toml":
                        is_project = True
                    elif name == "pyvenv.cfg" and folder not in starts:
                        inner, files = [], []
                        break
                    if name[0] != "." and name not in NEVER:
                        if entry.is_dir(follow_symlinks=False):
                            inner.append(entry.path)
                        elif entry.is_symlink() and _leads_to_folder(entry):
                            left.append((entry.path, "is a link to a folder, and those are not followed"))
        except OSError as error:
            walked.problems.append(f"{visible(folder)}: can't be listed: {error.strerror or error}")
            continue
        if is_project and folder not in starts:
            walked.projects.append(folder)
            if excluded_in is not None:
                excluded = excluded_in(folder)
        for path in [path for path in inner if path[path.rfind(os.sep) + 1 :] in USUALLY_NOT]:
            if not os.path.isfile(os.path.join(path, "__init__.py")):
                inner.remove(path)
                left.append((path, "has a name that is used for what is built or installed, and is no package"))
        if excluded is None:
            walked.stamps.update(files)
            waiting += [(path, None) for path in inner]
        else:
            walked.stamps.update([item for item in files if not excluded(item[0])])
            waiting += [(path, excluded) for path in inner if not excluded(path)]
    return walked


def _file(entry: os.DirEntry[str], *, with_stamps: bool) -> tuple[bool, Stamp | None]:
    """Whether an entry is a file, and its stamp if it is wanted."""
    try:
        if not with_stamps:
            return entry.is_file(), None
        status = entry.stat()
    except OSError:  # a broken link, or a link to itself
        return False, None
    return stat.S_ISREG(status.st_mode), stamp(status)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
