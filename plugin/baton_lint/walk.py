"""Which Python files there are, with what tells that they changed."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Stamp = tuple[int, int, int, int]
"""Modified, changed, inode, size: a file with the same four has the same content."""

NEVER = frozenset({"__pycache__", "node_modules", "venv", "env", "build", "dist", "site-packages", "_build"})
"""Folders that are left out, besides those that begin with a dot or hold a `pyvenv.cfg`."""


def stamp(status: os.stat_result) -> Stamp:
    """What tells one version of a file from another."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def walk(folders: Iterable[str], is_excluded: Callable[[str], bool] | None) -> tuple[dict[str, Stamp], list[str]]:
    """All Python files below some folders.

    Links to folders are not followed, so no loop is walked twice; links to files are.

    Args:
        folders: Where to begin; each is walked whatever its own name.
        is_excluded: Says of a file or folder whether the user left it out.

    Returns:
        The files with their stamps, and what could not be looked at.
    """
    found: dict[str, Stamp] = {}
    problems: list[str] = []
    waiting = list(folders)
    while waiting:
        folder = waiting.pop()
        inner: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(".py"):
                        status = _file(entry)
                        if status is not None and not (is_excluded and is_excluded(entry.path)):
                            found[entry.path] = stamp(status)
                    elif name == "pyvenv.cfg":
                        inner = []
                        break
                    elif name[0] != "." and name not in NEVER and entry.is_dir(follow_symlinks=False):
                        inner.append(entry.path)
        except OSError as error:
            problems.append(f"{folder}: can't be listed: {error.strerror or error}")
            continue
        waiting += [path for path in inner if not is_excluded(path)] if is_excluded else inner
    return found, problems


def _file(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        status = entry.stat()
    except OSError:  # a link to nowhere, or to itself
        return None
    return status if stat.S_ISREG(status.st_mode) else None
