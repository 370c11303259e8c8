"""Laws of the drawing for terminals, and what it looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton_dsl.core import drawing
from baton_dsl.core.drawing import ASCII, UNICODE, Drawing, Strokes
from baton_dsl.core.graph import Graph
from baton_dsl.core.spec import FlowSpec, ParameterSpec, Role, StepSpec
from tests.strategies import Dag, flow_specs, spec_of, step_names


def flow_of(**upstreams: str) -> FlowSpec:
    return spec_of(Dag({name: tuple(ups.split()) for name, ups in upstreams.items()}))


def edges(flow: FlowSpec) -> set[tuple[str, str]]:
    graph = Graph.of(flow)
    return {(up, name) for name in graph.steps for up in graph.upstreams(name)}


def read_back(drawn: Drawing) -> set[tuple[str, str]]:
    """The edges that a reader sees: follow the rails downwards, and each line's stroke to both sides."""
    strokes = drawn.strokes
    lines = drawn.lines()
    goes_on = {strokes.rail, strokes.meet_left, strokes.meet_through, strokes.meet_right}
    ends = {strokes.end_left, strokes.end_through, strokes.end_right}
    met = (goes_on - {strokes.rail}) | ends
    seen: set[tuple[str, str]] = set()
    owner: dict[int, str] = {}
    for index, line in enumerate(lines):
        assert line.at is not None
        (name,) = line.steps
        cells = line.rails
        if line.at in owner:
            seen.add((owner.pop(line.at), name))
        for side in (-1, 1):
            column = line.at + side
            while 0 <= column < len(cells) and cells[column] not in (" ",):
                if column % 2 == 0 and cells[column] in met:
                    seen.add((owner[column], name))
                    stops = (
                        {strokes.meet_left, strokes.end_left} if side < 0 else {strokes.meet_right, strokes.end_right}
                    )
                    if cells[column] in stops and cells[column] not in {strokes.meet_through, strokes.end_through}:
                        break
                column += side
        owner = {column: up for column, up in owner.items() if cells[column] not in ends}
        below = lines[index + 1] if index + 1 < len(lines) else None
        if below is not None:
            under = below.rails.ljust(line.at + 1)[line.at]
            if under in goes_on | ends or below.at == line.at:
                owner[line.at] = name
    return seen


def test_mapped_steps_are_marked_by_brackets_for_each_level() -> None:
    orders = StepSpec(
        name="orders", parameters=(ParameterSpec(name="a", role=Role.UPSTREAM, source="regions", each=1),)
    )
    items = StepSpec(name="i" * 60, parameters=(ParameterSpec(name="a", role=Role.UPSTREAM, source="orders", each=2),))
    drawn = Drawing.of(FlowSpec(name="f", steps=(StepSpec(name="regions"), orders, items)))
    assert drawn.text() == f"●  regions\n●  orders[]\n●  {'i' * 20}…{'i' * 19}[][]"


@given(flow_specs(max_size=24))
def test_a_drawing_says_exactly_the_edges(flow: FlowSpec) -> None:
    assert read_back(Drawing.of(flow, width=400)) == edges(flow)


@given(flow_specs(max_size=24))
def test_every_step_has_one_line_and_stands_after_its_upstreams(flow: FlowSpec) -> None:
    order = [name for line in Drawing.of(flow, width=400).lines() for name in line.steps]
    assert sorted(order) == sorted(step.name for step in flow.steps)
    position = {name: index for index, name in enumerate(order)}
    assert all(position[up] < position[name] for up, name in edges(flow))


@given(flow_specs(max_size=24), st.integers(20, 120), st.sampled_from((UNICODE, ASCII)))
def test_lines_are_plain_and_rails_leave_room_for_names(flow: FlowSpec, width: int, strokes: Strokes) -> None:
    drawn = Drawing.of(flow, width=width, strokes=strokes)
    lines = drawn.lines()
    assert len({len(line.rails) for line in lines}) == 1
    assert len(lines[0].rails) <= max(width - drawing.ROOM_FOR_LABELS, 8)
    text = drawn.text()
    assert len(text.split("\n")) == len(text.splitlines()) == len(lines)
    assert all(line.isprintable() for line in text.split("\n"))


@given(flow_specs(min_size=3, max_size=24), st.integers(2, 12))
def test_a_folded_drawing_keeps_every_step_once_and_points_down(flow: FlowSpec, most: int) -> None:
    graph = Graph.of(flow)
    groups = drawing._folded(graph, graph.layers(), most)
    assert len(groups) <= max(most, 1)
    assert sorted(name for group in groups for name in group) == sorted(graph.steps)
    position = {name: index for index, group in enumerate(groups) for name in group}
    assert all(position[up] <= position[name] for up, name in edges(flow))


@given(step_names(), st.integers(4, 60))
def test_a_cut_name_fits(name: str, most: int) -> None:
    assert drawing.columns(drawing.cut(drawing.printable(name), most, "…")) <= most


def test_a_diamond() -> None:
    flow = flow_of(fetch="", left="fetch", right="fetch", join="left right")
    assert Drawing.of(flow).text() == "\n".join(
        (
            "●    fetch",
            "├─●  left",
            "● │  right",
            "●─╯  join",
        )
    )
    assert Drawing.of(flow, strokes=ASCII).text() == "\n".join(
        (
            "*    fetch",
            "+-*  left",
            "* |  right",
            "*-'  join",
        )
    )


def test_a_rail_that_is_only_crossed_stays_whole() -> None:
    flow = flow_of(a="", b="", c="a", d="b c", e="a")
    assert Drawing.of(flow).text() == "\n".join(
        (
            "●      a",
            "│ ●    b",
            "├─│─●  c",
            "● │ │  e",
            "  ●─╯  d",
        )
    )


def test_steps_that_no_edge_joins_never_stand_under_each_other() -> None:
    assert Drawing.of(flow_of(a="", b="", c="")).text() == "●    a\n  ●  b\n●    c"


def test_states_and_remarks_stand_in_columns() -> None:
    flow = flow_of(fetch="", left="fetch", right="fetch", join="left right")
    states = {"fetch": "completed", "left": "executing", "right": "discarded", "join": "suspended"}
    remarks = {"fetch": "1.2 s", "left": "attempt 2 of 5"}
    assert Drawing.of(flow).text(states, remarks) == "\n".join(
        (
            "✔    fetch  1.2 s",
            "├─▶  left   attempt 2 of 5",
            "✘ │  right",
            "○─╯  join",
        )
    )


def test_many_steps_that_stand_alike_share_a_line() -> None:
    tiles = {f"project_{number}": "split" for number in range(1000)}
    fits = {f"fit_{number}": f"project_{number}" for number in range(1000)}
    flow = flow_of(split="", **tiles, **fits, montage=" ".join(fits))
    states = dict.fromkeys(tiles, "completed") | {"project_7": "executing", "project_9": "discarded"}
    assert Drawing.of(flow).text(states) == "\n".join(
        (
            "●  split",
            "✘  1,000 steps: project_0 … project_999  1 discarded, 1 executing, 998 completed",
            "●  1,000 steps: fit_0 … fit_999",
            "●  montage",
        )
    )


def test_a_chain_of_ten_thousand_steps_is_still_a_page() -> None:
    chain = {f"s{number}": f"s{number - 1}" if number else "" for number in range(10_000)}
    assert len(Drawing.of(flow_of(**chain)).lines()) == drawing.MOST_LINES


def test_too_many_rails_for_the_terminal_are_folded() -> None:
    tiles = {f"t{number}": "split" for number in range(30)}
    flow = flow_of(split="", **tiles, join=" ".join(tiles))
    assert len(Drawing.of(flow, width=120).lines()) == 32
    assert Drawing.of(flow, width=60).text() == "●  split\n●  30 steps: t0 … t29\n●  join"


def test_a_cycle_stands_at_the_end_without_rails() -> None:
    drawn = Drawing.of(flow_of(a="b", b="a", c="a", d=""))
    assert drawn.text() == "\n".join(
        (
            "●  d",
            "   a  (on or behind a cycle)",
            "   b  (on or behind a cycle)",
            "   c  (on or behind a cycle)",
        )
    )


def test_a_flow_without_steps_draws_nothing() -> None:
    assert Drawing.of(FlowSpec(name="empty")).text() == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\u202eevil", r"\u202eevil"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("x" * 255, f"{'x' * 20}…{'x' * 19}"),
        ("数" * 21, f"{'数' * 10}…{'数' * 9}"),
    ],
)
def test_an_odd_name_moves_no_column(name: str, shown: str) -> None:
    (line,) = Drawing.of(FlowSpec(name="odd", steps=(StepSpec(name=name),))).lines()
    assert line.label == shown


def test_every_stroke_is_one_column() -> None:
    for strokes in (UNICODE, ASCII):
        marks = [value for key, value in vars_of(strokes) if key not in ("states", "ellipsis")]
        assert all(drawing.columns(mark) == len(mark) == 1 for mark in [*marks, *strokes.states.values()])
    assert all(mark.isascii() for _, mark in vars_of(ASCII) if isinstance(mark, str))


def vars_of(strokes: Strokes) -> list[tuple[str, str]]:
    return [(name, getattr(strokes, name)) for name in Strokes.__slots__]
