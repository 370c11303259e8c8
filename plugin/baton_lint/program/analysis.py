"""Turn the facts of a project into findings, with `check` of the core and with checks across flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from baton_dsl.core.check import check
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import CATALOGUE, duplicate_flow, unparsable_file, unreachable_step
from baton_dsl.core.spec import FlowSpec, Place, Reference, StepSpec
from baton_dsl.core.types import TermTypes
from baton_lint.program.annotations import Annotations
from baton_lint.program.classes import Classes
from baton_lint.program.doubts import Doubting
from baton_lint.program.flows import Build, Flows
from baton_lint.program.imports import Imports
from baton_lint.program.names import Names
from baton_lint.program.project import Project
from baton_lint.program.steps import Steps
from baton_lint.program.unresolved import Unresolved, unresolved
from baton_lint.program.values import StepValue

ALONE: Final = frozenset(code for code, rule in CATALOGUE.items() if rule.is_about_a_step)
"""Rules about a step alone, which also apply to steps that are in no flow."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of a project.

    Attributes:
        flows: Every flow that was found.
        findings: All findings, each once, in the order of the source.
        every: The same, but a finding about a step in two flows is there twice.
        complaints: For each place of a `BTN102`, the flows with that finding, by their position in `flows`.
        unresolved: Annotations of steps that can't be resolved.
    """

    flows: tuple[FlowSpec, ...]
    findings: tuple[Diagnostic, ...]
    every: tuple[Diagnostic, ...]
    complaints: dict[Place, set[int]]
    unresolved: list[Unresolved]


def analyse(project: Project, paths: Iterable[str]) -> Analysis:
    """Check all flows of a project.

    Args:
        project: Finds modules.
        paths: The files that may use baton.

    Returns:
        The flows and the findings of all rules, including those that are off by default.
    """
    paths = list(paths)
    names = Names(project)
    annotations = Annotations(names)
    doubting = Doubting(names)
    types = Classes(annotations, doubting).types
    steps = Steps(names, annotations, doubting)
    builds = Flows(names, steps).gather(paths)
    findings: dict[Diagnostic, None] = {}
    flows: list[FlowSpec] = []
    complaints: dict[Place, set[int]] = {}
    for build in builds:
        for finding in build.findings:
            findings[finding.in_flow(build.name or "?")] = None
        for spec in build.specs():
            flows.append(spec)
            for finding in check(spec, types).findings:
                findings[finding] = None
                if finding.code == "BTN102" and finding.place is not None:
                    complaints.setdefault(finding.place, set()).add(len(flows) - 1)
    lonely = _lonely(project, paths, names, steps, builds)
    findings |= dict.fromkeys(_alone(lonely, builds, types=types))
    for finding in (
        *_same_functions(project, paths, names),
        *_same_flows(Imports(project, paths), builds),
        *_unparsable(project, paths),
    ):
        findings[finding] = None
    in_order = tuple(sorted(_once(findings), key=_position))
    unknown = unresolved((*(step for flow in flows for step in flow.steps), *lonely), dict(steps.unresolved()))
    return Analysis(tuple(flows), in_order, tuple(findings), complaints, unknown)


def _lonely(project: Project, paths: list[str], names: Names, steps: Steps, builds: list[Build]) -> list[StepSpec]:
    """The steps that are in no flow."""
    used = {key for build in builds for key in build.used}
    return [
        steps.spec(value, value.name or "?")
        for path, index, value in _steps_of(project, paths, names)
        if (path, index) not in used
    ]


def _alone(lonely: list[StepSpec], builds: list[Build], *, types: TermTypes) -> Iterator[Diagnostic]:
    """The findings about steps that are in no flow: those about a step alone, and that it is in none."""
    nowhere = (Reference("the flow is not known"),)
    for step in lonely:
        spec = FlowSpec(name="", steps=(step,), open_because=nowhere)
        yield from check(spec, types, codes=ALONE).findings
    if not any(build.open_because for build in builds):
        yield from unreachable_step.unreachable(lonely)


def _steps_of(project: Project, paths: list[str], names: Names) -> Iterator[tuple[str, int, StepValue]]:
    """Every function of these files that is decorated as a step."""
    for path in paths:
        facts = project.files.facts(path)
        for index, function in enumerate(facts["functions"] if facts else ()):
            if function["decorators"]:
                value = names.function(path, index)
                if isinstance(value, StepValue):
                    yield path, index, value


def _same_functions(project: Project, paths: list[str], names: Names) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], Place] = {}
    for path, index, value in _steps_of(project, paths, names):
        facts = project.files.facts(path)
        assert facts is not None
        function = facts["functions"][index]
        qualified_name = facts["scopes"][function["inner"]]["name"]
        if not function["is_certain"] or "<locals>" in qualified_name:
            continue
        place = project.place(path, function["span"])
        if (path, qualified_name) in first:
            name = value.name or function["name"]
            yield duplicate_flow.same_function(name, place, first[path, qualified_name])
        else:
            first[path, qualified_name] = place


def _same_flows(imports: Imports, builds: list[Build]) -> Iterator[Diagnostic]:
    """A finding for each flow that one process may import together with an earlier one of the same name."""
    named: dict[str, list[tuple[str, FlowSpec]]] = {}
    for build in builds:
        if build.is_top:
            named.setdefault(build.name or "?", []).append((build.path, next(build.specs())))
    for flows in named.values():
        flows.sort(key=lambda item: (item[1].place is not None, item[1].place))
        for number, (path, flow) in enumerate(flows):
            first = next((other for known, other in flows[:number] if imports.are_together(known, path)), None)
            if first is not None:
                yield from duplicate_flow.same_name((first, flow))


def _unparsable(project: Project, paths: list[str]) -> Iterator[Diagnostic]:
    for path in paths:
        facts = project.files.facts(path)
        if facts is not None and facts["error"] is not None:
            reason, span = facts["error"]
            yield unparsable_file.unparsable(reason, project.place(path, span))


def _once(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Remove duplicates: a mistake in a step of fifty flows is one finding."""
    seen: dict[tuple[object, ...], Diagnostic] = {}
    for finding in findings:
        seen.setdefault((finding.code, finding.place, finding.message), finding)
    return list(seen.values())


def _position(finding: Diagnostic) -> tuple[str, int, int, str]:
    place = finding.place
    return (place.path, place.line, place.column, finding.code) if place else ("", 0, 0, finding.code)
