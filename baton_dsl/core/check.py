"""Check a flow. All front ends use this one function."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.graph import Graph
from baton_dsl.core.rules import CATALOGUE, Context
from baton_dsl.core.spec import FlowSpec, Types


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check: the flow's graph, and all findings."""

    flow: FlowSpec
    graph: Graph
    findings: tuple[Diagnostic, ...]


def check(flow: FlowSpec, types: Types, *, codes: Collection[str] | None = None) -> Checked:
    """Find everything that is wrong with a flow, in the order of the source where places are known.

    Args:
        flow: The flow, as a front end describes it.
        types: Answers questions about the types in it; from the same front end.
        codes: The rules to run; None runs every one.

    Returns:
        The graph, and the findings of all rules, each with the flow's name.

    Examples:
        >>> from baton_dsl.core.spec import FlowSpec, ParameterSpec, Role, StepSpec
        >>> from baton_dsl.core.types import TermTypes
        >>> loop = StepSpec(name="a", parameters=(ParameterSpec(name="a", role=Role.UPSTREAM, source="a"),))
        >>> checked = check(FlowSpec(name="f", steps=(loop,)), TermTypes(lambda name: None))
        >>> [str(finding) for finding in checked.findings]
        ['BTN105: step "a" waits for itself']
    """
    context = Context(flow, types, Graph.of(flow))
    findings: dict[Diagnostic, None] = {}
    for rule in CATALOGUE.values():
        if rule.run is not None and (codes is None or rule.code in codes):
            for finding in rule.run(context):
                findings[finding.in_flow(flow.name)] = None
    return Checked(flow, context.graph, tuple(sorted(findings, key=_position)))


def _position(finding: Diagnostic) -> tuple[str, int, int, str]:
    place = finding.place
    return (place.path, place.line, place.column, finding.code) if place else ("", 0, 0, finding.code)
