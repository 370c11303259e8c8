"""Find the names by which the files of a project are imported."""

from __future__ import annotations

import os

from baton_lint.program.project import PACKAGE, Project


class Modules:
    """The names by which files are imported.

    A file needs one name for a type checker, even if it could have several: the one that the project's own imports use.
    If no import uses it, the name starts at the outermost package; for a file in no package, at the nearest folder from
    which imports start.

    Args:
        project: Finds modules; all imports that matter must have been followed.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._starts: dict[str, str] = {}
        self._used: dict[str, None] = {}
        for dotted, module in project.imported():
            if module.path is None:
                continue
            base = module.folder or os.path.splitext(module.path)[0]
            start = base.removesuffix(os.sep + dotted.replace(".", os.sep))
            if start != base and not self._is_package(start):
                self._starts.setdefault(self._top(module.path), start)
                self._used[start] = None

    def name(self, path: str) -> str | None:
        """The dotted name of the module in a file; None if no import statement could use it."""
        top = self._top(path)
        start = self._starts.get(top) or self._start(top)
        self._used[start] = None
        parts = os.path.splitext(os.path.relpath(path, start))[0].split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None

    def roots(self) -> tuple[str, ...]:
        """The folders from which imports start, those of named modules and imports first."""
        starts = (start for start in self.project.starts if os.path.isdir(start) and not self._is_package(start))
        return tuple(dict.fromkeys((*self._used, *starts)))

    def _top(self, path: str) -> str:
        """The outermost package of a file, or the file itself."""
        top, folder = path, os.path.dirname(path)
        while self._is_package(folder):
            top, folder = folder, os.path.dirname(folder)
        return top

    def _start(self, top: str) -> str:
        folder = os.path.dirname(top)
        above = [start for start in self.project.starts if (folder + os.sep).startswith(start + os.sep)]
        if os.path.isdir(top) or not above:
            return folder
        nearest = max(above, key=len)
        inside = os.path.relpath(folder, nearest).split(os.sep)
        return nearest if folder == nearest or all(part.isidentifier() for part in inside) else folder

    def _is_package(self, folder: str) -> bool:
        return self.project.files.is_file(os.path.join(folder, PACKAGE))
