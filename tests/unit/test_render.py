"""Laws of Mermaid and Graphviz text, and what it looks like."""

import html
import re

from hypothesis import given

from baton_dsl.core.render import dot, mermaid
from baton_dsl.core.spec import UNKNOWN, FlowSpec, Option, ParameterSpec, Reference, Role, StepSpec
from tests.strategies import flow_specs
from tests.unit.test_drawing import edges

FETCH = StepSpec(name="fetch")
REPORT = StepSpec(
    name="report",
    parameters=(ParameterSpec(name="fetch", role=Role.UPSTREAM, source="fetch"),),
    after=(Reference("clean up"),),
)
ORDERS = StepSpec(
    name="orders",
    parameters=(
        ParameterSpec(name="fetch", role=Role.UPSTREAM, source="fetch", each=1),
        ParameterSpec(name="region", role=Role.INPUT, each=2),
    ),
)
ITEMS = StepSpec(name="items", parameters=(ParameterSpec(name="orders", role=Role.UPSTREAM, source="orders", each=1),))
MAPS = FlowSpec(name="maps", steps=(FETCH, ORDERS, ITEMS))
BILLING = FlowSpec(name="billing", steps=(FETCH, StepSpec(name="clean up"), REPORT))

MERMAID_STEP = re.compile(r'    s(\d+)\["([^"]*)"\](?::::\w+)?')
MERMAID_EDGE = re.compile(r"    s(\d+) (?:-->|-\.->) s(\d+)")
DOT_STEP = re.compile(r'    s(\d+) \[label="((?:[^"\\]|\\.)*)"[^\]]*\];')
DOT_EDGE = re.compile(r"    s(\d+) -> s(\d+)(?: \[style=dashed\])?;")


@given(flow_specs())
def test_mermaid_says_exactly_the_steps_and_edges(flow: FlowSpec) -> None:
    head, *lines = mermaid(flow).split("\n")
    assert head == "flowchart TD"
    names = {}
    found = set()
    for line in lines:
        if step := MERMAID_STEP.fullmatch(line):
            names[step[1]] = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), step[2])
        else:
            edge = MERMAID_EDGE.fullmatch(line)
            assert edge, line
            found.add((names[edge[1]], names[edge[2]]))
    assert list(names.values()) == [step.name for step in flow.steps]
    assert found == edges(flow)


@given(flow_specs())
def test_dot_says_exactly_the_steps_and_edges(flow: FlowSpec) -> None:
    _, _, *lines, last = dot(flow).split("\n")
    assert last == "}"
    names = {}
    found = set()
    for line in lines:
        if step := DOT_STEP.fullmatch(line):
            names[step[1]] = html.unescape(re.sub(r"\\(.)", r"\1", step[2]))
        else:
            edge = DOT_EDGE.fullmatch(line)
            assert edge, line
            found.add((names[edge[1]], names[edge[2]]))
    assert list(names.values()) == [step.name for step in flow.steps]
    assert found == edges(flow)


def test_mermaid_tells_results_from_mere_order_and_colours_states() -> None:
    assert mermaid(BILLING, {"fetch": "completed", "report": "suspended"}).split("\n") == [
        "flowchart TD",
        '    s0["fetch"]:::completed',
        '    s1["clean up"]',
        '    s2["report"]:::suspended',
        "    s0 --> s2",
        "    s1 -.-> s2",
        "    classDef suspended fill:#f1f3f5,stroke:#868e96,color:#212529",
        "    classDef completed fill:#d3f9d8,stroke:#2f9e44,color:#212529",
    ]


def test_dot_tells_results_from_mere_order_and_colours_states() -> None:
    assert dot(BILLING, {"fetch": "completed"}).split("\n") == [
        'digraph "billing" {',
        '    node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif"];',
        '    s0 [label="fetch", fillcolor="#d3f9d8", color="#2f9e44"];',
        '    s1 [label="clean up"];',
        '    s2 [label="report"];',
        "    s0 -> s2;",
        "    s1 -> s2 [style=dashed];",
        "}",
    ]


def test_names_that_would_be_markup_are_escaped() -> None:
    names = ('a"]; click s0 "javascript:alert(1)', "1. first", "_under_", r"back\nslash", "<b>&amp;", "end")
    flow = FlowSpec(name='"', steps=tuple(StepSpec(name=name) for name in names))
    assert [line for line in mermaid(flow).split("\n") if "s5" in line or "s1" in line or "s2" in line] == [
        '    s1["1#46; first"]',
        '    s2["#95;under#95;"]',
        '    s5["end"]',
    ]
    drawn = dot(flow)
    assert r'label="back\\nslash"' in drawn
    assert 'label="&lt;' not in drawn
    assert 'label="<b>&amp;amp;"' in drawn


def test_a_cycle_is_drawn_too() -> None:
    loop = ParameterSpec(name="a", role=Role.UPSTREAM, source="a")
    flow = FlowSpec(name="f", steps=(StepSpec(name="a", parameters=(loop,)),))
    assert "    s0 --> s0" in mermaid(flow)
    assert "    s0 -> s0;" in dot(flow)


def test_mapped_steps_are_marked_and_what_they_take_item_by_item() -> None:
    assert mermaid(MAPS).splitlines()[1:] == [
        '    s0["fetch"]',
        '    s1["orders[][]"]',
        '    s2["items[]"]',
        "    s0 -->|each| s1",
        "    s1 -->|each| s2",
    ]
    assert dot(MAPS).splitlines()[2:-1] == [
        '    s0 [label="fetch"];',
        '    s1 [label="orders[][]"];',
        '    s2 [label="items[]"];',
        '    s0 -> s1 [label="each"];',
        '    s1 -> s2 [label="each"];',
    ]


def test_models_that_are_not_known_are_question_marks() -> None:
    step = StepSpec(name="assess", options={"models": Option(["haiku", UNKNOWN])})
    assert "{haiku, ?}" in mermaid(FlowSpec(name="f", steps=(step,)))
