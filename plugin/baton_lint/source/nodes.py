"""The nodes inside a node of `ast`, on the way through a file."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final, Protocol

_NO_NODES: Final = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "name", "kind", "type_comment", "conversion"})
"""Fields that hold no node which matters."""
_LEAVES: Final = frozenset({ast.Constant, type(None), str, int, bool})
"""Kinds of what may be in the other fields and holds no further nodes."""
_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {}
"""Fields to look into, the last first, by kind of node; filled as kinds are met."""


class Reads(Protocol):
    """Where a node stands, as far as names that are read there are concerned."""

    reads: set[str]


def push_all[W: Reads](stack: list[tuple[ast.AST, W]], nodes: Sequence[ast.AST], where: W) -> None:
    """Put nodes on a stack, the first on top, each with where it stands.

    Half of all nodes are names, of which only matters whether they are read, or constants: those are done with at once.
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
    """Put all nodes inside a node on a stack, the first on top."""
    kind = type(node)
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(name for name in reversed(node._fields) if name not in _NO_NODES)
    inside = vars(node)  # far faster than one attribute after the other
    for name in fields:
        value = inside.get(name)
        if value is not None:
            push_all(stack, value if type(value) is list else (value,), where)
