"""Which upstreams a step, and each item of a map, needs."""

from __future__ import annotations

from baton_dsl.core.graph import Graph
from baton_dsl.core.rules.shadowed_default import MODEL
from baton_dsl.core.spec import StepSpec
from baton_dsl.reflect import LIVE_TYPES


def needed_upstreams(spec: StepSpec) -> frozenset[str]:
    """The upstreams without whose result a step can't run: those of parameters that don't accept None."""
    return frozenset(
        parameter.source
        for parameter in spec.parameters
        if parameter.is_upstream
        and parameter.source is not None
        and LIVE_TYPES.accepts_none(parameter.type) is not True
    )


def mapped_by(spec: StepSpec) -> list[str]:
    """The names of the mapped parameters; `MODEL` for a step of several models."""
    return [MODEL] if spec.is_per_model else [parameter.name for parameter in spec.parameters if parameter.each]


def read_beside(graph: Graph, name: str) -> list[str]:
    """The upstreams that every item of a map reads, besides the ones that it maps over."""
    parameters = graph.steps[name].parameters
    whole = {it.source for it in parameters if it.is_upstream and not it.each}
    mapped = {it.source for it in parameters if it.is_upstream and it.each}
    return [upstream for upstream in graph.waits_for[name] if upstream not in mapped or upstream in whole]
