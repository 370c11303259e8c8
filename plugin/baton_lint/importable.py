"""The flows of a project as Python would name them: for each step the module and the name it is imported by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from baton_dsl.core.spec import FlowSpec
from baton_dsl.core.types import TermTypes
from baton_lint.annotations import Annotations
from baton_lint.classes import Classes
from baton_lint.flows import Build, Flows
from baton_lint.names import Names
from baton_lint.project import PACKAGE, Project
from baton_lint.steps import Steps
from baton_lint.values import FunctionValue, StepValue


@dataclass(frozen=True, slots=True)
class Importable:
    """What a type checker must be told to look at the steps of a project.

    Attributes:
        flows: Each flow with the places of its steps, such as `app.shop:Billing.charge`, by name in the flow. A step
            that can't be imported, or that is no step by then, has none.
        roots: The folders that those modules, and what they import, are imported from.
        types: What text knows of the types in the flows.
    """

    flows: tuple[tuple[FlowSpec, Mapping[str, str]], ...]
    roots: tuple[str, ...]
    types: TermTypes


def importable(project: Project, paths: Iterable[str]) -> Importable:
    """Find the flows of a project, and where their steps are imported from.

    Args:
        project: Where its modules lie.
        paths: The files that may have to do with baton.
    """
    names = Names(project)
    annotations = Annotations(names)
    builds = Flows(names, Steps(names, annotations)).gather(paths)
    modules = Modules(project)
    flows = [(spec, _places(build, names, modules)) for build in builds for spec in build.specs()]
    return Importable(tuple(flows), modules.roots(), Classes(annotations).types)


def _places(build: Build, names: Names, modules: Modules) -> dict[str, str]:
    places: dict[str, str] = {}
    for name, (path, index) in build.definitions.items():
        qualified_name = _qualified_name(names, path, index)
        module = modules.name(path)
        if qualified_name is not None and module is not None:
            places[name] = f"{module}:{qualified_name}"
    return places


def _qualified_name(names: Names, path: str, index: int | None) -> str | None:
    """The name that gives a step in its module; None if it is no step there, or perhaps another one."""
    facts = names.project.files.facts(path)
    if facts is None or index is None:
        return None
    function = facts["functions"][index]
    value = names.function(path, index)
    if isinstance(value, FunctionValue):
        return _variable(names, path, value)
    if not isinstance(value, StepValue) or value.above or value.is_wrapped:
        return None
    if facts["scopes"][function["scope"]]["names"].get(function["name"]) != ("def", index):
        return None
    qualified_name = facts["scopes"][function["inner"]]["name"].rstrip(".")
    return None if "<locals>" in qualified_name else qualified_name


def _variable(names: Names, path: str, function: FunctionValue) -> str | None:
    """The name that `charge = step(function)` gives a step in the module of its function."""
    facts = names.project.files.facts(path)
    for name, binding in facts["scopes"][0]["names"].items() if facts else ():
        if binding[0] == "value" and binding[1][0] == "call":
            value = names.lookup(path, 0, name, binding[1][1])
            if isinstance(value, StepValue) and (value.path, value.index) == (function.path, function.index):
                return name
    return None


class Modules:
    """The names that files are imported by.

    A file has one name for a type checker, however many there could be: the one that the project's own imports use.
    Where no import tells, a package begins below the folder that is none, and any other file at the nearest of the
    folders that imports start from.

    Args:
        project: Where its modules lie, after all imports that matter were followed.
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
        """The dotted name of the module in a file; None if no import statement could say it."""
        top = self._top(path)
        start = self._starts.get(top) or self._start(top)
        self._used[start] = None
        parts = os.path.splitext(os.path.relpath(path, start))[0].split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None

    def roots(self) -> tuple[str, ...]:
        """The folders that imports start from, those of named modules and imports first."""
        starts = (start for start in self.project.starts if os.path.isdir(start) and not self._is_package(start))
        return tuple(dict.fromkeys((*self._used, *starts)))

    def _top(self, path: str) -> str:
        """The outermost package that a file is in, or the file itself."""
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
