"""List the Python files, with what shows that they have changed."""

from __future__ import annotations

import os
import stat

from baton_lint.printing import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Stamp = tuple[int, int, int, int]
"""Modified, changed, inode, size: a file with the same four has the same content."""

NEVER = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Folders that are left out, besides those that begin with a dot or hold a `pyvenv.cfg`."""
USUALLY_NOT = frozenset({"venv", "env", "build", "dist", "_build"})
"""Folders that are left out unless they are packages."""
ENDINGS = (".py", ".ipynb")
"""Of the names of files that are looked at."""


def stamp(status: os.stat_result) -> Stamp:
    """What tells one version of a file from another."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


class Walked:
    """What a walk came by.

    Attributes:
        stamps: The files, with what tells their versions apart.
        projects: Folders below the first ones that have a pyproject.toml.
        problems: What could not be looked at, a sentence each.
        left: What was passed over though it may hold source code: a path and the reason.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.projects: list[str] = []
        self.problems: list[str] = []
        self.left: list[tuple[str, str]] = []


def walk(
    folders: Iterable[str],
    is_excluded: Callable[[str], bool] | None,
    excluded_in: Callable[[str], Callable[[str], bool] | None] | None = None,
) -> Walked:
    """All Python files and notebooks below some folders.

    Links to folders are not followed, so no loop is walked twice; links to files are.

    Args:
        folders: Where to begin; each is walked whatever its own name.
        is_excluded: Says of a file or folder whether the user left it out.
        excluded_in: The same test for a folder with a pyproject.toml of its own, and all below it.
    """
    walked = Walked()
    left = walked.left
    starts = frozenset(folders)
    waiting = [(folder, is_excluded) for folder in sorted(starts)]
    while waiting:
        folder, excluded = waiting.pop()
        inner: list[str] = []
        files: list[tuple[str, Stamp]] = []
        is_project = False
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(ENDINGS):
                        status = _file(entry)
                        if status is not None:
                            files.append((entry.path, stamp(status)))
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


def _file(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        status = entry.stat()
    except OSError:  # a link to nowhere, or to itself
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
