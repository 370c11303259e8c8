"""Explain why a map ended without results, in the same words as the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baton_dsl.core.items import step_of
from baton_dsl.core.lifecycle import Node, Outcome
from baton_dsl.runtime.lowering.edges import mapped_by

if TYPE_CHECKING:
    from baton_dsl.testing.memory import Memory


def refusal(memory: Memory, name: str, node: Node) -> str:
    """Why a map could not expand, in the words of `baton_expand`."""
    over = node.over
    assert over is not None
    parameters = mapped_by(memory.specs[step_of(name)])
    values = [
        value if source is None else _seen(memory, source)
        for source, value in zip(over.sources, over.values, strict=True)
    ]
    for parameter, value in zip(parameters, values, strict=True):
        if not isinstance(value, list | dict):
            return (
                f'BTN509: "{name}" maps over what is no collection: parameter "{parameter}" got '
                f"{_json_type(value)}; let what it maps over be a list or a dict"
            )
    sizes = [len(value) for value in values if isinstance(value, list | dict)]
    if not over.is_product and len(set(sizes)) > 1:
        lengths = ", ".join(f'"{it}" has {size}' for it, size in zip(parameters, sizes, strict=True))
        return (
            f'BTN509: "{name}" zips collections of different lengths: {lengths}; make them equally long, or say '
            'combine="product"'
        )
    count = sizes[0]
    for size in sizes[1:] if over.is_product else ():
        count *= size
    return (
        f'BTN513: "{name}" would have {count} items, its max_items is {over.most}; raise max_items of the step, or '
        "map over fewer"
    )


def _seen(memory: Memory, source: str) -> object:
    above = memory.model.nodes[source]
    return [None] * (above.items or 0) if above.is_map else above.result


def failing(memory: Memory, name: str) -> str:
    """Why a map failed after its items have ended, in the words of `baton_conclude`."""
    children = memory.model.children(name)
    root = memory.model.nodes[name].root or name
    over = memory.model.nodes[root].over
    assert over is not None
    count, demanded = len(children), over.demanded(len(children))
    good = sum(child.outcome in (Outcome.COMPLETED, Outcome.SKIPPED) for child in children.values())
    must = f", {demanded} must succeed" if demanded < count else ""
    return (
        f'BTN511: {count - good} of {count} items failed{must}; workflow.items("{root}") tells why, workflow.retry() '
        "tries them again"
    )


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "nothing"
