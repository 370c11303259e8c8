"""Laws of the graph: orders, layers and cycles of random flows, and of very long ones."""

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from baton_dsl.core.check import check
from baton_dsl.core.graph import MOST_CYCLES, Edge, Graph
from baton_dsl.core.spec import FlowSpec, ParameterSpec, Reference, Role, StepSpec
from baton_dsl.core.types import TermTypes
from tests.strategies import flow_specs


def flow_of(waits_for: dict[str, list[str]]) -> FlowSpec:
    return FlowSpec(
        name="graph",
        steps=tuple(
            StepSpec(
                name=name,
                parameters=tuple(ParameterSpec(name=up, role=Role.UPSTREAM, source=up) for up in upstreams[::2]),
                after=tuple(map(Reference, upstreams[1::2])),
            )
            for name, upstreams in waits_for.items()
        ),
    )


@st.composite
def digraphs(draw: st.DrawFn) -> FlowSpec:
    """Any graph at all: cycles, self-loops, repeated edges, names of steps that do not exist."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 8)))]
    anything = st.sampled_from([*names, "nowhere"])
    return flow_of({name: draw(st.lists(anything, max_size=5)) for name in draw(st.permutations(names))})


def has_cycle(waits_for: dict[str, set[str]]) -> bool:
    """The definition itself: peel off what waits for nothing until nothing is left."""
    left = {name: set(upstreams) for name, upstreams in waits_for.items()}
    while ready := [name for name, upstreams in left.items() if not upstreams & left.keys()]:
        for name in ready:
            del left[name]
    return bool(left)


def neighbours(graph: Graph) -> dict[str, set[str]]:
    return {name: set(graph.upstreams(name)) for name in graph.steps}


@given(flow_specs())
def test_every_step_comes_after_its_upstreams(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    order = graph.topological_order()
    assert sorted(order) == sorted(graph.steps)
    assert all(order.index(up) < order.index(name) for name in order for up in graph.upstreams(name))


@given(flow_specs())
def test_the_order_depends_on_the_definition_alone(flow: FlowSpec) -> None:
    assert Graph.of(flow).topological_order() == Graph.of(flow).topological_order()


@given(flow_specs())
def test_a_layer_waits_only_for_the_layers_before_it_and_for_the_last_of_them(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    layers = graph.layers()
    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    assert depth.keys() == graph.steps.keys()
    for name, number in depth.items():
        assert max((depth[up] for up in graph.upstreams(name)), default=-1) == number - 1


@given(flow_specs())
def test_downstreams_are_the_upstreams_turned_round(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    turned = {(up, name) for name in graph.steps for up in graph.upstreams(name)}
    assert {(name, down) for name, downs in graph.downstreams().items() for down in downs} == turned


@given(flow_specs())
def test_a_flow_without_a_cycle_has_none_to_report(flow: FlowSpec) -> None:
    assert Graph.of(flow).cycles() == []


@given(digraphs())
def test_a_cycle_is_reported_exactly_if_there_is_one(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    assert bool(graph.cycles()) is has_cycle(neighbours(graph))


@given(digraphs())
def test_a_reported_cycle_is_a_closed_path_of_distinct_steps_from_the_first_defined_one(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    position = {name: index for index, name in enumerate(graph.steps)}
    for cycle in graph.cycles():
        steps = [edge.step for edge in cycle]
        assert len(set(steps)) == len(steps) > 1
        assert [edge.upstream for edge in cycle] == [*steps[1:], steps[0]]
        assert all(edge in graph.edges(edge.step) for edge in cycle)
        assert position[steps[0]] == min(position[name] for name in steps)


@given(digraphs())
def test_every_cycle_is_reported_once(flow: FlowSpec) -> None:
    paths = [tuple(edge.step for edge in cycle) for cycle in Graph.of(flow).cycles()]
    assert len(set(paths)) == len(paths)


@given(digraphs())
def test_dropping_one_edge_of_each_reported_cycle_can_mend_them_all(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    cycles = graph.cycles()
    assume(math.prod(map(len, cycles)) <= 3_000)

    def mended_by(dropped: tuple[Edge, ...]) -> bool:
        gone = {(edge.step, edge.upstream) for edge in dropped}
        return not has_cycle(
            {name: {up for up in ups if (name, up) not in gone} for name, ups in neighbours(graph).items()}
        )

    assert any(map(mended_by, itertools.product(*cycles)))


@given(digraphs())
def test_the_order_has_exactly_the_steps_that_no_cycle_holds_up(flow: FlowSpec) -> None:
    graph = Graph.of(flow)
    order = graph.topological_order()
    assert set(order).isdisjoint(edge.step for cycle in graph.cycles() for edge in cycle)
    assert all(set(graph.upstreams(name)) <= set(order[: order.index(name)]) for name in order)


def test_an_edge_to_oneself_is_no_cycle_and_no_edge() -> None:
    graph = Graph.of(flow_of({"a": ["a", "a"]}))
    assert (graph.cycles(), graph.upstreams("a"), graph.topological_order()) == ([], [], ["a"])


def test_an_edge_that_is_named_twice_is_one_edge() -> None:
    graph = Graph.of(flow_of({"a": [], "b": ["a", "a", "a"]}))
    assert graph.upstreams("b") == ["a"]
    assert [(edge.step, edge.upstream) for edge in graph.edges("b")] == [("b", "a")]


def test_of_two_steps_of_one_name_the_first_is_in_the_graph() -> None:
    first, second = StepSpec(name="a"), StepSpec(name="a", deps=(Reference("b"),))
    graph = Graph.of(FlowSpec(name="f", steps=(first, second, StepSpec(name="b"))))
    assert graph.steps["a"] is first
    assert graph.upstreams("a") == []


LONG = 10_000


def test_a_long_chain_exhausts_no_stack() -> None:
    chain = flow_of({f"s{n}": [f"s{n - 1}"] if n else [] for n in reversed(range(LONG))})
    graph = Graph.of(chain)
    assert graph.topological_order() == [f"s{n}" for n in range(LONG)]
    assert graph.cycles() == []
    assert len(graph.layers()) == LONG


def test_a_long_cycle_is_found_and_cut_short_for_reading() -> None:
    ring = flow_of({f"s{n}": [f"s{(n + 1) % LONG}"] for n in range(LONG)})
    (finding,) = check(ring, TermTypes(lambda _: None)).findings
    assert finding.code == "BTN101"
    assert finding.message == (
        'steps wait for each other: "s0" -> "s1" -> "s2" -> "s3" -> "s4" -> "s5" -> (9988 more) -> '
        '"s9994" -> "s9995" -> "s9996" -> "s9997" -> "s9998" -> "s9999" -> "s0"'
    )


def test_a_tangle_has_a_bounded_number_of_cycles() -> None:
    names = [f"s{number}" for number in range(200)]
    tangle = flow_of(dict.fromkeys(names, names))
    assert len(Graph.of(tangle).cycles()) == MOST_CYCLES


@pytest.mark.parametrize("size", [1, 2, 12, 13])
def test_a_cycle_is_drawn_from_its_first_step_back_to_it(size: int) -> None:
    ring = flow_of({f"s{n}": [f"s{(n + 1) % size}"] for n in range(size)})
    found = check(ring, TermTypes(lambda _: None)).findings
    expected = "waits for itself" if size == 1 else 'steps wait for each other: "s0" -> "s1"'
    assert expected in found[0].message
    assert found[0].message.endswith("itself") or found[0].message.endswith('-> "s0"')
