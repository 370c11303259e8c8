"""Iterate over the nodes inside a node of `ast`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final, Protocol

_NO_NODES: Final = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "name", "kind", "type_comment", "conversion"})
"""Fields without nodes that matter."""
_LEAVES: Final = frozenset({ast.Constant, type(None), str, int, bool})
"""Types of values in the other fields that have no nodes inside."""
_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {}
"""Fields with nodes, the last first, by kind of node; filled on demand."""


class Reads(Protocol):
    """The circumstances of a node, as far as this module uses them."""

    reads: set[str]


def push_all[W: Reads](stack: list[tuple[ast.AST, W]], nodes: Sequence[ast.AST], where: W) -> None:
    """Push nodes on a stack, the first on top, each with its circumstances.

    Half of all nodes are names and constants. They are not pushed: of a name only the fact that it is read matters.
    """
    reads = where.reads
    for node in reversed(nodes):
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Store:  # type: ignore[attr-defined]
                reads.add(node.id)  # type: ignore[attr-defined]
        elif kind not in _LEAVES:
            stack.append((node, where))


def push_children[W: Reads](stack: list[tuple[ast.AST, W]], node: ast.AST, where: W) -> None:
    """Push all nodes inside a node on a stack, the first on top, each with its circumstances."""
    kind = type(node)
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(name for name in reversed(node._fields) if name not in _NO_NODES)
    inside = vars(node)  # faster than one attribute after the other
    for name in fields:
        value = inside.get(name)
        if value is not None:
            push_all(stack, value if type(value) is list else (value,), where)
