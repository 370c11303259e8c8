"""Iterate over the nodes inside a node of `ast`."""

from __future__ import annotations

import ast
from typing import Final

_NO_NODES: Final = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "name", "kind", "type_comment", "conversion"})
"""Fields without nodes that matter."""
_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {}
"""Fields with nodes, the last first, by kind of node; filled on demand."""


def push_children[W](stack: list[tuple[ast.AST, W]], node: ast.AST, where: W) -> None:
    """Push all nodes inside a node on a stack, the first on top, each with its circumstances."""
    kind = type(node)
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(name for name in reversed(node._fields) if name not in _NO_NODES)
    for name in fields:
        value = getattr(node, name, None)
        if type(value) is list:
            stack += [(item, where) for item in reversed(value) if isinstance(item, ast.AST)]
        elif value is not None and type(value) is not ast.Constant and isinstance(value, ast.AST):
            stack.append((value, where))
