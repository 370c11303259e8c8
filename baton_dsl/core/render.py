"""Write a flow's graph as Mermaid or Graphviz text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from baton_dsl.core.drawing import mark_of
from baton_dsl.core.graph import Edge, edges_of
from baton_dsl.core.spec import FlowSpec

FILL: Final = {
    "suspended": ("#f1f3f5", "#868e96"),
    "scheduled": ("#e5dbff", "#7048e8"),
    "available": ("#e7f5ff", "#1c7ed6"),
    "executing": ("#fff3bf", "#f08c00"),
    "retryable": ("#ffe8cc", "#e8590c"),
    "completed": ("#d3f9d8", "#2f9e44"),
    "cancelled": ("#e9ecef", "#495057"),
    "discarded": ("#ffe3e3", "#e03131"),
    "skipped": ("#ffffff", "#adb5bd"),
}
"""For each state, the fill and the border colour of a step."""


def mermaid(flow: FlowSpec, states: Mapping[str, str] | None = None) -> str:
    """A flow as a Mermaid flowchart, which GitHub and many documentation tools draw.

    An edge that carries a result is a solid arrow; one that only orders (`after`, `deps`) is dotted. A mapped step is
    marked by brackets, `orders[]`, and the edges that it maps over are labelled "each". A flow that is wrong is drawn
    too, even with cycles; edges to missing steps are left out.

    Args:
        flow: The flow.
        states: Oban's state of each step, where it is known; it colours the step.

    Examples:
        >>> from baton_dsl.core.spec import FlowSpec, ParameterSpec, Role, StepSpec
        >>> fetched = ParameterSpec(name="fetch", role=Role.UPSTREAM, source="fetch")
        >>> report = StepSpec(name="report", parameters=(fetched,))
        >>> print(mermaid(FlowSpec(name="f", steps=(StepSpec(name="fetch"), report))))
        flowchart TD
            s0["fetch"]
            s1["report"]
            s0 --> s1
    """
    states = states or {}
    numbers, marks = _numbers(flow), _marks(flow)
    used = [state for state in FILL if state in {states.get(name) for name in numbers}]
    lines = ["flowchart TD"]
    for name, number in numbers.items():
        state = states.get(name)
        label = _mermaid_label(name) + marks[name]
        lines.append(f'    s{number}["{label}"]' + (f":::{state}" if state in FILL else ""))
    lines += [
        f"    s{numbers[edge.upstream]} {_mermaid_arrow(edge)} s{numbers[edge.step]}" for edge in _edges(flow, numbers)
    ]
    lines += [f"    classDef {state} fill:{FILL[state][0]},stroke:{FILL[state][1]},color:#212529" for state in used]
    return "\n".join(lines)


def dot(flow: FlowSpec, states: Mapping[str, str] | None = None) -> str:
    """A flow as a Graphviz digraph: `baton graph app.flows:billing --format dot | dot -Tsvg`.

    Edges and states as in `mermaid`.

    Args:
        flow: The flow.
        states: Oban's state of each step, where it is known; it colours the step.

    Examples:
        >>> from baton_dsl.core.spec import FlowSpec, StepSpec
        >>> print(dot(FlowSpec(name="billing", steps=(StepSpec(name="fetch"),))))
        digraph "billing" {
            node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif"];
            s0 [label="fetch"];
        }
    """
    states = states or {}
    numbers, marks = _numbers(flow), _marks(flow)
    lines = [
        f"digraph {_dot_quoted(flow.name)} {{",
        '    node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif"];',
    ]
    for name, number in numbers.items():
        area, border = FILL.get(states.get(name, ""), ("", ""))
        colours = f', fillcolor="{area}", color="{border}"' if area else ""
        lines.append(f"    s{number} [label={_dot_quoted(name + marks[name])}{colours}];")
    lines += [
        f"    s{numbers[edge.upstream]} -> s{numbers[edge.step]}{_dot_style(edge)};" for edge in _edges(flow, numbers)
    ]
    return "\n".join([*lines, "}"])


def _numbers(flow: FlowSpec) -> dict[str, int]:
    """Number the steps, because names may contain characters that identifiers of Mermaid and Graphviz may not."""
    return {name: number for number, name in enumerate(dict.fromkeys(step.name for step in flow.steps))}


def _marks(flow: FlowSpec) -> dict[str, str]:
    """The mark behind each name: brackets if the step is mapped. Of two steps with one name, the first counts."""
    return {step.name: mark_of(step) for step in reversed(flow.steps)}


def _mermaid_arrow(edge: Edge) -> str:
    if edge.parameter is None:
        return "-.->"
    return "-->|each|" if edge.parameter.each else "-->"


def _dot_style(edge: Edge) -> str:
    if edge.parameter is None:
        return " [style=dashed]"
    return ' [label="each"]' if edge.parameter.each else ""


def _edges(flow: FlowSpec, known: Mapping[str, int]) -> Iterator[Edge]:
    """Each edge between existing steps, once, with self-loops; parameters come before edges that only order."""
    seen: set[tuple[str, str]] = set()
    for step in flow.steps:
        for edge in edges_of(step):
            if edge.upstream in known and (edge.upstream, edge.step) not in seen:
                seen.add((edge.upstream, edge.step))
                yield edge


_PLAIN_MERMAID: Final = re.compile(r"[^\W\d_](?:[\w.:-]*[^\W_])?")
"""Labels without anything that Mermaid reads as Markdown: list markers, underscores at an end, markup."""


def _mermaid_label(name: str) -> str:
    if _PLAIN_MERMAID.fullmatch(name):
        return name
    return "".join(it if it.isalnum() or it == " " else f"#{ord(it)};" for it in name)


def _dot_quoted(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
