"""Names with two bindings: for type checkers and at run time, or by an import and its fallback."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from baton_lint.source.circumstances import CHECKING, DEEPER, FALLBACK
from baton_lint.source.facts import Binding, ScopeFacts

_FLAG: Final = "TYPE_CHECKING"
_FAILURES: Final = frozenset({"ImportError", "ModuleNotFoundError"})


def is_for_checkers(test: ast.expr, binding: Callable[[str], Binding | None]) -> bool | None:
    """Whether a branch is only for type checkers (True), or only for run time (False); None for other branches.

    Args:
        test: The condition of the branch.
        binding: Returns what a name is bound to.
    """
    match test:
        case ast.Name(id=name):
            found = binding(name) if name != _FLAG else None
            is_flag = name == _FLAG or (found is not None and found[0] == "from" and found[3] == _FLAG)
            return True if is_flag else None
        case ast.Attribute(attr=name):
            return True if name == _FLAG else None
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            verdict = is_for_checkers(inner, binding)
            return None if verdict is None else not verdict
        case ast.BoolOp(op=ast.And(), values=values):
            return True if any(is_for_checkers(value, binding) for value in values) else None
        case _:
            return None


def expects_no_module(node: ast.Try) -> bool:
    """True for `try: import ... except ImportError`."""
    return bool(node.handlers) and all(_is_of_imports(handler.type) for handler in node.handlers)


def _is_of_imports(error: ast.expr | None) -> bool:
    match error:
        case ast.Name(id=name):
            return name in _FAILURES
        case ast.Tuple(elts=items):
            return bool(items) and all(map(_is_of_imports, items))
        case _:
            return False


class Views:
    """The bindings of a file's scopes in each view, besides the unconditional ones."""

    def __init__(self) -> None:
        fallback: dict[int, dict[str, Binding]] = {}
        self._names = {CHECKING: {}, FALLBACK: fallback, DEEPER: fallback}
        self.hold_names = False
        """True if any name is bound only in a view, which is rare."""

    def names(self, view: str, scope: int, names: dict[str, Binding]) -> dict[str, Binding]:
        """The dict for the bindings of a scope in a view: a separate one, or the scope's own."""
        if view not in self._names:
            return names
        self.hold_names = True
        return self._names[view].setdefault(scope, {})

    def binding(self, scope: int, name: str) -> Binding | None:
        """The binding of a name in any view of a scope so far."""
        return next((found[name] for view in self._names.values() if name in (found := view.get(scope, {}))), None)

    def merge(self, scopes: list[ScopeFacts]) -> None:
        """Merge all views; bindings on which they disagree become `either`."""
        for index, found in self._names[FALLBACK].items():
            names = scopes[index]["names"]
            for name, binding in found.items():
                if name in names:
                    names[name] = _either(names[name], binding)
                else:
                    names[name] = ("unknown", "is set when an import fails", (1, 1, 1, 1))
        for index, found in self._names[CHECKING].items():
            names = scopes[index]["names"]
            for name, binding in found.items():
                if name not in names:
                    scopes[index]["absent"].append(name)
                names[name] = _either(binding, names.get(name, binding))


def _either(first: Binding, second: Binding) -> Binding:
    return first if first == second or first[0] == "unknown" else ("either", first, second)
