"""The graph of a flow: its edges, a topological order, its cycles. Every function here is linear and iterative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from baton_dsl.core.spec import FlowSpec, ParameterSpec, Place, StepSpec

MOST_CYCLES: Final = 100
"""The most cycles that are reported for one flow: nobody reads more than the first hundred."""


class Edge(NamedTuple):
    """`step` waits for `upstream`, because of a parameter or because `after` or `deps` says so."""

    step: str
    upstream: str
    parameter: ParameterSpec | None
    place: Place | None


def awaited_by(step: StepSpec) -> list[str]:
    """The names of the steps that a step waits for, whether they exist or not, in the order of its signature."""
    names = [
        parameter.source for parameter in step.parameters if parameter.is_upstream and parameter.source is not None
    ]
    names += [reference.name for reference in step.after]
    names += [reference.name for reference in step.deps]
    return names


def edges_of(step: StepSpec) -> Iterator[Edge]:
    """The same as edges. They are many, so they are made only to draw or report them."""
    for parameter in step.parameters:
        if parameter.is_upstream and parameter.source is not None:
            yield Edge(step.name, parameter.source, parameter, parameter.place)
    for name, place in (*step.after, *step.deps):
        yield Edge(step.name, name, None, place)


@dataclass(frozen=True)
class Graph:
    """The edges between steps that exist, without self-loops and repetitions.

    Attributes:
        steps: Steps by name, the first of each name, in order of definition.
        waits_for: For each step the names of its upstreams.
        stray: The steps that wait for themselves, or for a name that is not a step of the flow.
    """

    steps: Mapping[str, StepSpec]
    waits_for: Mapping[str, tuple[str, ...]]
    stray: tuple[StepSpec, ...]

    @staticmethod
    def of(flow: FlowSpec) -> Graph:
        """The graph of a flow."""
        steps: dict[str, StepSpec] = {}
        for step in flow.steps:
            steps.setdefault(step.name, step)
        waits_for: dict[str, tuple[str, ...]] = {}
        stray: list[StepSpec] = []
        for step in flow.steps:
            awaited = awaited_by(step)
            upstreams = [name for name in awaited if name in steps and name != step.name]
            if len(upstreams) < len(awaited):
                stray.append(step)
            waits_for.setdefault(step.name, tuple(dict.fromkeys(upstreams)))
        return Graph(steps, waits_for, tuple(stray))

    @cached_property
    def mapped(self) -> frozenset[str]:
        """The names of the steps that are mapped."""
        return frozenset(name for name, step in self.steps.items() if step.is_mapped)

    def upstreams(self, step: str) -> list[str]:
        """The names of the steps that a step waits for."""
        return list(self.waits_for[step])

    def edges(self, step: str) -> list[Edge]:
        """The edges from a step to its upstreams; if several references cause an edge, the first is used."""
        edges: dict[str, Edge] = {}
        for edge in edges_of(self.steps[step]):
            if edge.upstream in self.steps and edge.upstream != step:
                edges.setdefault(edge.upstream, edge)
        return list(edges.values())

    def downstreams(self) -> dict[str, list[str]]:
        """For each step the names of the steps that wait for it."""
        downstreams: dict[str, list[str]] = {name: [] for name in self.steps}
        for name, upstreams in self.waits_for.items():
            for upstream in upstreams:
                downstreams[upstream].append(name)
        return downstreams

    def topological_order(self) -> list[str]:
        """Every step after its upstreams; the roots first, in order of definition (Kahn 1962).

        Steps on a cycle, and steps that wait for them, are left out, so the order is then shorter than `steps`.
        """
        return list(self._order)

    @cached_property
    def _order(self) -> list[str]:
        waiting = {name: len(upstreams) for name, upstreams in self.waits_for.items()}
        downstreams = self.downstreams()
        order = [name for name, count in waiting.items() if count == 0]
        for name in order:  # the list grows during the loop
            for downstream in downstreams[name]:
                waiting[downstream] -= 1
                if waiting[downstream] == 0:
                    order.append(downstream)
        return order

    def layers(self) -> list[list[str]]:
        """The steps by their distance from the roots. The steps of a layer could run at the same time."""
        depth: dict[str, int] = {}
        layers: list[list[str]] = []
        for name in self._order:
            depth[name] = max((depth[upstream] + 1 for upstream in self.waits_for[name]), default=0)
            if depth[name] == len(layers):
                layers.append([])
            layers[depth[name]].append(name)
        return layers

    def cycles(self) -> list[list[Edge]]:
        """Each cycle once, as the edges that lead from a step back to itself.

        A depth-first search in order of definition (Tarjan 1972): each edge back to a step that is still on the
        path closes one cycle, and without those edges the graph has none. If cycles share edges, not all may be
        listed, but removing one edge of each listed cycle can break all of them. A cycle begins at its step that is
        defined first. At most `MOST_CYCLES` are returned.
        """
        if len(self._order) == len(self.steps):
            return []
        position = {name: index for index, name in enumerate(self.steps)}
        in_order = set(self._order)
        finished: set[str] = set()
        cycles: list[list[Edge]] = []
        for root in self.steps:
            if root in finished or root in in_order:
                continue
            path: list[Edge] = []
            on_path = {root: 0}
            trail: list[tuple[str, Iterator[Edge]]] = [(root, iter(self.edges(root)))]
            while trail:
                name, edges = trail[-1]
                for edge in edges:
                    target = edge.upstream
                    if target in on_path:
                        if len(cycles) < MOST_CYCLES:
                            cycles.append(_from_first_defined([*path[on_path[target] :], edge], position))
                    elif target not in finished and target not in in_order:
                        path.append(edge)
                        on_path[target] = len(path)
                        trail.append((target, iter(self.edges(target))))
                        break
                else:
                    trail.pop()
                    finished.add(name)
                    del on_path[name]
                    if path:
                        path.pop()
        return cycles


def _from_first_defined(cycle: Sequence[Edge], position: Mapping[str, int]) -> list[Edge]:
    start = min(range(len(cycle)), key=lambda index: position[cycle[index].step])
    return [*cycle[start:], *cycle[:start]]
