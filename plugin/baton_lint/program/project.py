"""Find the file that an import means, without running code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from baton_dsl.core.spec import Place
from baton_lint.source.expressions import Span
from baton_lint.source.facts import FileFacts

PACKAGE: Final = "__init__.py"


@dataclass(frozen=True, slots=True)
class Module:
    """A module or package of the project.

    Attributes:
        path: Its file; None for a namespace package.
        folder: Where its submodules lie; None for a plain module.
    """

    path: str | None
    folder: str | None


class Files:
    """The files of a project: those that were found by walking, and those that imports lead to.

    Args:
        walked: Every Python file under the walked folders.
        folders: The walked folders themselves; what is not in `walked` does not exist there.
        load: The facts of a file, or None if it can't be read.
    """

    def __init__(self, walked: Iterable[str], folders: Iterable[str], load: Callable[[str], FileFacts | None]) -> None:
        self._walked = set(walked)
        self._folders = tuple(folder.rstrip(os.sep) + os.sep for folder in folders)
        self._inside: set[str] | None = None
        self._load = load
        self._facts: dict[str, FileFacts | None] = {}
        self.rebuilds = False
        """Whether any file that was read completes classes by hand."""
        self.probes: dict[str, bool] = {}
        """Paths outside the walked folders that were asked for, and whether they are there."""

    def facts(self, path: str) -> FileFacts | None:
        """The facts of a file, read at most once; None if it can't be read."""
        if path not in self._facts:
            found = self._facts[path] = self._load(path)
            self.rebuilds = self.rebuilds or (found is not None and found["rebuilds"])
        return self._facts[path]

    def is_file(self, path: str) -> bool:
        """Whether a Python file is there."""
        if path.startswith(self._folders):
            return path in self._walked
        if path not in self.probes:
            self.probes[path] = os.path.isfile(path)
        return self.probes[path]

    def is_folder(self, path: str) -> bool:
        """Whether a folder with Python files in or below it is there."""
        if (path + os.sep).startswith(self._folders):
            if self._inside is None:
                self._inside = _folders_of(self._walked)
            return path in self._inside
        if path not in self.probes:
            self.probes[path] = os.path.isdir(path)
        return self.probes[path]


def _folders_of(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder not in found:
            found.add(folder)
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
    return found


class Project:
    """The modules of a project, by the names that its files import them by.

    Args:
        files: Its files.
        root: The folder that holds `pyproject.toml`.
        sources: Further folders that imports start from.
        shown: How a path is shown to the user.
        nearest: The folders that imports start from in a folder of a project within this one.

    Attributes:
        starts: The folders that absolute imports of any file may start from.
    """

    def __init__(
        self,
        files: Files,
        root: str,
        sources: Iterable[str],
        shown: Callable[[str], str],
        nearest: Callable[[str], tuple[str, ...]] = lambda folder: (),
    ) -> None:
        self.files = files
        self.starts = tuple(dict.fromkeys((*sources, os.path.join(root, "src"), root)))
        self._shown = shown
        self._nearest = nearest
        self._roots: dict[str, tuple[str, ...]] = {}
        self._found: dict[tuple[tuple[str, ...], str], Module | None] = {}

    def place(self, path: str, span: Span) -> Place:
        """A place in a file, with the path as users see it."""
        return Place(self._shown(path), *span)

    def roots(self, path: str) -> tuple[str, ...]:
        """Where absolute imports of a file may start: where its package lies, or else its own folder; the project's."""
        folder = os.path.dirname(path)
        if folder not in self._roots:
            self._roots[folder] = tuple(dict.fromkeys((self._outside(folder), *self._nearest(folder), *self.starts)))
        return self._roots[folder]

    def _outside(self, folder: str) -> str:
        """The nearest folder that is no package."""
        while self.files.is_file(os.path.join(folder, PACKAGE)):
            folder = os.path.dirname(folder)
        return folder

    def module(self, path: str, dotted: str) -> Module | None:
        """The module that `import dotted` means in a file; None if it is not in the project."""
        roots = self.roots(path)
        if dotted.partition(".")[0] in sys.stdlib_module_names:
            # only a script's own folder comes before the standard library's, and not for what Python loads by itself
            roots = tuple(root for root in roots if root in self.starts)
        if (roots, dotted) not in self._found:
            relative = dotted.replace(".", os.sep)
            found = (self.at(os.path.join(root, relative)) for root in roots)
            modules = [module for module in found if module is not None]
            # a package with a file wins over the folders of a namespace, wherever they are
            regular = [module for module in modules if module.path is not None]
            self._found[roots, dotted] = next(iter(regular or modules), None)
        return self._found[roots, dotted]

    def imported(self) -> Iterator[tuple[str, Module]]:
        """Each name that was looked for and found so far, and what it means."""
        return ((dotted, module) for (_, dotted), module in self._found.items() if module is not None)

    def knows(self, path: str, dotted: str) -> bool:
        """Whether the first part of a dotted name is of this project, so that all of it should be."""
        return self.module(path, dotted.partition(".")[0]) is not None

    def relative(self, path: str, level: int, dotted: str) -> Module | None:
        """The module that `from ...dotted import` means in a file."""
        folder = os.path.dirname(path)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        return self.at(os.path.join(folder, *dotted.split("."))) if dotted else self.at(folder)

    def submodule(self, module: Module, name: str) -> Module | None:
        """A module inside a package."""
        return self.at(os.path.join(module.folder, name)) if module.folder else None

    def at(self, base: str) -> Module | None:
        """The package, module or namespace at a path without an ending."""
        package = os.path.join(base, PACKAGE)
        if self.files.is_file(package):
            return Module(package, base)
        if self.files.is_file(f"{base}.py"):
            return Module(f"{base}.py", None)
        return Module(None, base) if self.files.is_folder(base) else None

    def program(self, path: str) -> str:
        """What one process certainly imports together: the outermost package of a file; else the file alone.

        A notebook is one by itself: nothing imports it.
        """
        if path.endswith(".ipynb"):
            return path
        folder = os.path.dirname(path)
        outside = self._outside(folder)
        if outside == folder:
            return path
        return outside + os.sep + path[len(outside) + 1 :].partition(os.sep)[0]
