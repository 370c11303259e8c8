"""The layout, the folds and the critical path: laws of the drawing, on any graph."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from baton_dsl.web.graph import READABLE, critical_path, draw
from baton_dsl.web.layout import BETWEEN_BOXES, HEIGHT, WIDTH, layered
from baton_dsl.web.reads import NodeView

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)


@st.composite
def graphs(draw: st.DrawFn, most: int = 40) -> dict[int, list[int]]:
    count = draw(st.integers(1, most))
    return {
        node: draw(st.lists(st.integers(0, node - 1), max_size=4, unique=True)) if node else [] for node in range(count)
    }


@given(graphs())
def test_no_two_boxes_overlap_and_every_line_goes_to_the_right(graph: dict[int, list[int]]) -> None:
    layout = layered(graph)
    columns: dict[float, list[float]] = {}
    for box in layout.boxes.values():
        columns.setdefault(box.x, []).append(box.y)
    for rows in columns.values():
        rows.sort()
        assert all(low - high >= HEIGHT + BETWEEN_BOXES - 0.2 for high, low in itertools.pairwise(rows))
    assert {(line.source, line.target) for line in layout.lines} == {
        (upstream, node) for node, above in graph.items() for upstream in above
    }
    for line in layout.lines:
        places = [x for x, _ in line.points]
        assert places == sorted(places)
        assert places[0] == layout.boxes[line.source].x + WIDTH
        assert places[-1] == layout.boxes[line.target].x


@given(graphs())
def test_the_drawing_has_room_for_all_that_it_draws(graph: dict[int, list[int]]) -> None:
    layout = layered(graph)
    for box in layout.boxes.values():
        assert box.x >= 0
        assert box.y >= -0.1
        assert box.x + WIDTH <= layout.width
        assert box.y + HEIGHT <= layout.height + 0.2
    for line in layout.lines:
        assert all(-0.2 <= y <= layout.height + 0.2 for _, y in line.points)


@given(graphs())
def test_the_same_graph_is_drawn_the_same_again(graph: dict[int, list[int]]) -> None:
    assert layered(graph) == layered(dict(graph))


def test_a_cycle_is_drawn_too() -> None:
    assert set(layered({"a": ["b"], "b": ["a"], "c": ["c", "gone"]}).boxes) == {"a", "b", "c"}


def test_long_lines_of_a_tangle_are_drawn_straight() -> None:
    hub = {node: [0, node - 1] if node > 1 else [0] if node else [] for node in range(600)}
    assert max(len(line.points) for line in layered(hub).lines) == 2


def node(name: str, *upstreams: str, function: str = "f", state: str = "completed", **more: object) -> NodeView:
    return NodeView(step=name, state=state, function=function, upstreams=upstreams, **more)  # type: ignore[arg-type]


def ran(name: str, begin: float, end: float | None, *upstreams: str) -> NodeView:
    return node(
        name,
        *upstreams,
        state="completed" if end else "executing",
        began_at=BEGIN + timedelta(seconds=begin),
        settled_at=BEGIN + timedelta(seconds=end) if end else None,
    )


def test_the_critical_path_goes_through_the_upstream_that_settled_last() -> None:
    nodes = [ran("a", 0, 1), ran("quick", 1, 2, "a"), ran("slow", 1, 5, "a"), ran("end", 5, 6, "quick", "slow")]
    assert critical_path(nodes) == ["a", "slow", "end"]


def test_while_a_workflow_runs_the_path_ends_at_what_has_run_longest() -> None:
    nodes = [ran("a", 0, 1), ran("old", 1, None, "a"), ran("young", 2, None, "a")]
    assert critical_path(nodes) == ["a", "old"]
    assert critical_path([node("a", state="suspended")]) == []


def test_many_steps_of_one_function_are_one_box_with_their_counts() -> None:
    parts = [node(f"part_{i}", "start", state="discarded" if i == 7 else "completed") for i in range(1000)]
    nodes = [node("start", function="s"), *parts, node("end", *(part.step for part in parts), function="e")]
    picture = draw(nodes)
    assert [group.title for group in picture.groups] == ["start", "1,000 x f", "end"]
    assert (picture.groups[1].state, dict(picture.groups[1].counts)) == (
        "discarded",
        {"completed": 999, "discarded": 1},
    )
    assert len(picture.edges) == 2
    assert len(draw(nodes, fold=False).groups) == 1002


def test_a_chain_of_a_thousand_is_folded() -> None:
    nodes = [node(f"step_{i}", *([f"step_{i - 1}"] if i else []), function=str(i)) for i in range(1000)]
    assert [len(group.steps) for group in draw(nodes).groups] == [1000]


@given(graphs(most=120), st.integers(1, 4))
def test_folding_loses_no_step_and_makes_no_cycle(graph: dict[int, list[int]], functions: int) -> None:
    nodes = [node(str(number), *map(str, above), function=str(number % functions)) for number, above in graph.items()]
    picture = draw(nodes)
    assert sorted(step for group in picture.groups for step in group.steps) == sorted(map(str, graph))
    columns = {group.key: group.box.x for group in picture.groups}
    home = {step: group.key for group in picture.groups for step in group.steps}
    for number, above in graph.items():
        for upstream in above:
            high, low = home[str(upstream)], home[str(number)]
            assert high == low or columns[high] < columns[low]
    assert picture.is_folded or len(picture.groups) == len(graph)
    assert len(graph) > READABLE or not picture.is_folded
