"""Find the flows of a project, and the module and name by which each step can be imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from baton_dsl.core.rules import option
from baton_dsl.core.spec import FlowSpec
from baton_dsl.core.types import TermTypes
from baton_lint.program.annotations import Annotations
from baton_lint.program.classes import Classes
from baton_lint.program.flows import Build, Flows
from baton_lint.program.module_names import Modules
from baton_lint.program.names import Names
from baton_lint.program.project import Project
from baton_lint.program.steps import Steps
from baton_lint.program.values import FunctionValue, StepValue


@dataclass(frozen=True, slots=True)
class Importable:
    """What a type checker needs to check the steps of a project.

    Attributes:
        flows: Each flow with the import places of its steps, such as `app.shop:Billing.charge`, by name in the flow. A
            step that can't be imported, or whose name is no longer a step, has none.
        roots: The folders from which those modules, and what they import, are imported.
        types: Answers questions about the types in the flows.
    """

    flows: tuple[tuple[FlowSpec, Mapping[str, str]], ...]
    roots: tuple[str, ...]
    types: TermTypes


def importable(project: Project, paths: Iterable[str]) -> Importable:
    """Find the flows of a project, and where their steps are imported from.

    Args:
        project: Finds modules.
        paths: The files that may use baton.
    """
    names = Names(project)
    annotations = Annotations(names)
    builds = Flows(names, Steps(names, annotations)).gather(paths)
    modules = Modules(project)
    flows = [(spec, _places(build, spec, names, modules)) for build in builds for spec in build.specs()]
    return Importable(tuple(flows), modules.roots(), Classes(annotations).types)


def _places(build: Build, flow: FlowSpec, names: Names, modules: Modules) -> dict[str, str]:
    places: dict[str, str] = {}
    broken = {step.name for step in flow.steps if step.unimportable or any(option.options(step.name, step.options))}
    for name, (path, index) in build.definitions.items():
        if name in broken:  # a type checker has no type for it, and would report every edge of it
            continue
        qualified_name = _qualified_name(names, path, index)
        module = modules.name(path)
        if qualified_name is not None and module is not None:
            places[name] = f"{module}:{qualified_name}"
    return places


def _qualified_name(names: Names, path: str, index: int | None) -> str | None:
    """The name of a step in its module; None if the name is not a step there, or may be another one."""
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
    """The variable of a step that is assigned as `charge = step(function)` in the module of its function."""
    facts = names.project.files.facts(path)
    for name, binding in facts["scopes"][0]["names"].items() if facts else ():
        if binding[0] == "value" and binding[1][0] == "call":
            value = names.lookup(path, 0, name, binding[1][1])
            if isinstance(value, StepValue) and (value.path, value.index) == (function.path, function.index):
                return name
    return None
