"""Find the calls that matter: those that may create, extend or insert a flow, and those that block."""

from __future__ import annotations

import ast
import sys
from typing import Final

from baton_dsl.core.blocking import BLOCKING
from baton_lint.source.facts import Binding

_FOREIGN: Final = sys.stdlib_module_names
"""Modules whose functions create no flows."""


_MAKERS: Final = frozenset(
    {"typing", "typing_extensions", "enum", "collections", "dataclasses", "pydantic", "pydantic.main"}
)
"""Modules with functions that create classes."""

RUNS: Final = frozenset({"run", "start", "explore"})
"""Methods of the testing kit that run a flow."""

_MAY_BE_NAME: Final = (ast.Constant, ast.Name, ast.JoinedStr, ast.Attribute)
"""The kinds of expressions that the first argument of `Flow(...)` may be."""


NO_FLOWS: Final = ("def", "class", "parameter")
"""Kinds of bindings whose calls neither make a flow nor block."""

_NO_FLOWS_METHODS: Final = (*NO_FLOWS, "unknown", "alias", "variable", "either")
"""Kinds of bindings whose methods neither make a flow nor block, except for the methods below."""

_METHODS: Final = frozenset({"insert", "insert_many", "add", "options", "bind", *RUNS})
"""Methods that may be those of a flow, or take one, whatever they are called on."""

_BLOCKING_BUILTINS: Final = frozenset(
    name.removeprefix("builtins.") for name in BLOCKING if name.startswith("builtins.")
)


def plain_callee(node: ast.Call) -> tuple[str | None, tuple[str, ...]]:
    """The name at the start of a simple call, `len(x)` or `rows.append(x)`; None for any other call.

    The second value lists kinds of bindings: if the name has one of them, or is not bound at all, the call neither
    makes nor changes a flow, and does not block.
    """
    function = node.func
    if type(function) is ast.Name:
        name = function.id
        return (None if name in _BLOCKING_BUILTINS else name), NO_FLOWS
    if type(function) is ast.Attribute and function.attr not in _METHODS:
        value = function.value
        return (value.id if type(value) is ast.Name else None), _NO_FLOWS_METHODS
    return None, ()


class Chain:
    """A call with the chain left of it: `Flow("a", b).options(...).insert(c)`.

    Args:
        node: The last call of the chain.
    """

    __slots__ = ("attributes", "calls", "node", "root")

    def __init__(self, node: ast.Call) -> None:
        self.node = node
        self.attributes: list[str] = []
        """From right to left."""
        self.calls: list[ast.Call] = []
        """From right to left."""
        root: ast.expr = node
        while True:
            if type(root) is ast.Attribute:
                self.attributes.append(root.attr)
                root = root.value
            elif type(root) is ast.Call:
                self.calls.append(root)
                root = root.func
            else:
                break
        self.root = root

    def may_be_flow(self, binding: Binding | None) -> bool:
        """Whether the chain may be about a flow, by what its root is bound to. Most are not."""
        node = self.node
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "insert" and len(node.args) <= 1:
                return True
            if node.func.attr == "insert_many" and len(node.args) == 2:
                return True
            if node.func.attr == "add" and (len(node.args) >= 2 or "add" in self.attributes[1:] or len(self.calls) > 1):
                return True
            if node.func.attr in ("options", "bind") and node.keywords and not node.args:
                return True
            if node.func.attr in RUNS and node.args and any(word.arg == "replace" for word in node.keywords):
                return True
        if binding is None or binding[0] in NO_FLOWS:
            return False
        given = self.calls[-1].args
        if not given or not isinstance(given[0], _MAY_BE_NAME):
            return False
        match binding[0]:
            case "from" if binding[1] == 0:
                return str(binding[2]).partition(".")[0] not in _FOREIGN
            case "module" | "package":
                return str(binding[1]).partition(".")[0] not in _FOREIGN
            case kind:
                return kind in ("from", "value")

    def may_be_value(self, binding: Binding | None) -> bool:
        """Whether the value of the chain may be a flow, a step, a decorator or a type."""
        if self.attributes and self.attributes[0] in ("named", "bind", "add", "options"):
            return True
        if self._makes_class(binding):
            return True
        if self.may_be_flow(binding):
            return True
        return binding is not None and binding[0] in ("from", "module", "package", "value") and not self.calls[-1].args

    def _makes_class(self, binding: Binding | None) -> bool:
        """Whether the called function creates a class, or something like one."""
        if binding is None or binding[0] not in ("from", "module", "package"):
            return False
        if binding[0] == "from":
            return not self.attributes and binding[2] in _MAKERS
        return len(self.attributes) == 1 and binding[1] in _MAKERS

    def blocks(self, binding: Binding | None) -> str | None:
        """The full name of the called function, if it is known to block."""
        if len(self.calls) != 1 or not isinstance(self.root, ast.Name):
            return None
        attributes = self.attributes[::-1]
        if binding is None:
            name = f"builtins.{self.root.id}" if not attributes else ""
        elif binding[0] == "from" and binding[1] == 0:
            name = ".".join([binding[2], binding[3], *attributes])
        elif binding[0] in ("module", "package"):
            name = ".".join([binding[1], *attributes])
        else:
            return None
        return name if name in BLOCKING else None
