"""A flow as a drawing: text that Mermaid or Graphviz lay out."""

from __future__ import annotations

from collections.abc import Iterator

from baton_dsl.core.graph import Edge, Graph
from baton_dsl.core.spec import FlowSpec


def mermaid(flow: FlowSpec) -> str:
    """The flow as a Mermaid flowchart; dotted edges carry no result.

    Example:
        >>> from baton_dsl.core.spec import ParameterSpec, Role, StepSpec
        >>> orders = StepSpec(name="orders")
        >>> report = StepSpec(name="report", parameters=(ParameterSpec(name="n", role=Role.UPSTREAM, source="orders"),))
        >>> print(mermaid(FlowSpec(name="shop", steps=(orders, report))))
        flowchart LR
          subgraph flow["shop"]
            step0["orders"]
            step1["report"]
            step0 -->|n| step1
          end
    """
    ids = {name: f"step{number}" for number, name in enumerate(Graph.of(flow).steps)}
    lines = ["flowchart LR", f'  subgraph flow["{_entities(flow.name)}"]']
    lines += [f'    {identifier}["{_entities(name)}"]' for name, identifier in ids.items()]
    for edge in _edges(flow):
        label = _label(edge)
        arrow = "-.->" if edge.parameter is None else f"-->|{_entities(label)}|" if label else "-->"
        lines.append(f"    {ids[edge.upstream]} {arrow} {ids[edge.step]}")
    return "\n".join([*lines, "  end"])


def dot(flow: FlowSpec) -> str:
    """The flow as a Graphviz digraph; dotted edges carry no result."""
    lines = [f"digraph {_quoted(flow.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_quoted(name)};" for name in Graph.of(flow).steps]
    for edge in _edges(flow):
        label = _label(edge)
        style = " [style=dotted]" if edge.parameter is None else f" [label={_quoted(label)}]" if label else ""
        lines.append(f"  {_quoted(edge.upstream)} -> {_quoted(edge.step)}{style};")
    return "\n".join([*lines, "}"])


def _edges(flow: FlowSpec) -> Iterator[Edge]:
    for edges in Graph.of(flow).waits_for.values():
        yield from edges


def _label(edge: Edge) -> str:
    """The parameter's name, where it is not the upstream's."""
    return "" if edge.parameter is None or edge.parameter.name == edge.upstream else edge.parameter.name


def _entities(text: str) -> str:
    """For a label of Mermaid: whatever could end it, as an entity."""
    return "".join(
        character if character.isalnum() or character in " _-.,:" else f"#{ord(character)};" for character in text
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
