"""Find the file of an import, without running code."""

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
        folder: The folder of its submodules; None for a plain module.
    """

    path: str | None
    folder: str | None


class Files:
    """The files of a project: those that the walk found, and those that imports lead to.

    Args:
        walked: Every Python file below the walked folders.
        folders: The walked folders; files below them that are not in `walked` do not exist.
        load: Returns the facts of a file, or None if it can't be read.
    """

    def __init__(self, walked: Iterable[str], folders: Iterable[str], load: Callable[[str], FileFacts | None]) -> None:
        self._walked = set(walked)
        self._folders = tuple(folder.rstrip(os.sep) + os.sep for folder in folders)
        self._inside: set[str] | None = None
        self._load = load
        self._facts: dict[str, FileFacts | None] = {}
        self.rebuilds = False
        """Whether any file that was read completes classes by hand (`model_rebuild`)."""
        self.probes: dict[str, bool] = {}
        """Paths outside the walked folders that were looked up, and whether they exist."""

    def facts(self, path: str) -> FileFacts | None:
        """The facts of a file, read at most once; None if it can't be read."""
        if path not in self._facts:
            found = self._facts[path] = self._load(path)
            self.rebuilds = self.rebuilds or (found is not None and found["rebuilds"])
        return self._facts[path]

    def is_file(self, path: str) -> bool:
        """Whether a Python file exists."""
        if path.startswith(self._folders):
            return path in self._walked
        if path not in self.probes:
            self.probes[path] = os.path.isfile(path)
        return self.probes[path]

    def is_folder(self, path: str) -> bool:
        """Whether a folder with Python files in or below it exists."""
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
    """The modules of a project, by the names with which its files import them.

    Args:
        files: Its files.
        root: The folder with its `pyproject.toml`.
        sources: Further folders from which imports start.
        shown: Formats a path for users.
        nearest: Returns the folders from which imports start in a folder of a nested project.

    Attributes:
        starts: The folders from which absolute imports of any file may start.
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
        """Where absolute imports of a file may start: in the folder of its package or its own, and in the project's."""
        folder = os.path.dirname(path)
        if folder not in self._roots:
            self._roots[folder] = tuple(dict.fromkeys((self._outside(folder), *self._nearest(folder), *self.starts)))
        return self._roots[folder]

    def _outside(self, folder: str) -> str:
        """The nearest outer folder that is not a package."""
        while self.files.is_file(os.path.join(folder, PACKAGE)):
            folder = os.path.dirname(folder)
        return folder

    def module(self, path: str, dotted: str) -> Module | None:
        """The module that `import dotted` imports in a file; None if it is not in the project."""
        roots = self.roots(path)
        if dotted.partition(".")[0] in sys.stdlib_module_names:
            # only the folder of a script comes before the standard library, except for modules that Python loads at its
            # start
            roots = tuple(root for root in roots if root in self.starts)
        if (roots, dotted) not in self._found:
            relative = dotted.replace(".", os.sep)
            found = (self.at(os.path.join(root, relative)) for root in roots)
            modules = [module for module in found if module is not None]
            # a regular package wins over namespace packages, wherever they are
            regular = [module for module in modules if module.path is not None]
            self._found[roots, dotted] = next(iter(regular or modules), None)
        return self._found[roots, dotted]

    def imported(self) -> Iterator[tuple[str, Module]]:
        """Each name that was looked up and found so far, and its module."""
        return ((dotted, module) for (_, dotted), module in self._found.items() if module is not None)

    def knows(self, path: str, dotted: str) -> bool:
        """Whether the first part of a dotted name is in this project, so that the rest should be too."""
        return self.module(path, dotted.partition(".")[0]) is not None

    def relative(self, path: str, level: int, dotted: str) -> Module | None:
        """The module that `from ...dotted import` imports from in a file."""
        folder = os.path.dirname(path)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        return self.at(os.path.join(folder, *dotted.split("."))) if dotted else self.at(folder)

    def submodule(self, module: Module, name: str) -> Module | None:
        """A module inside a package."""
        return self.at(os.path.join(module.folder, name)) if module.folder else None

    def at(self, base: str) -> Module | None:
        """The package, module or namespace package at a path without its ending."""
        package = os.path.join(base, PACKAGE)
        if self.files.is_file(package):
            return Module(package, base)
        if self.files.is_file(f"{base}.py"):
            return Module(f"{base}.py", None)
        return Module(None, base) if self.files.is_folder(base) else None

    def program(self, path: str) -> str:
        """The program of a file, which one process imports as a whole: its outermost package, or the file alone.

        A notebook is a program of its own, because nothing imports it.
        """
        if path.endswith(".ipynb"):
            return path
        folder = os.path.dirname(path)
        outside = self._outside(folder)
        if outside == folder:
            return path
        return outside + os.sep + path[len(outside) + 1 :].partition(os.sep)[0]
