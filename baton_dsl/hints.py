"""Evaluate the annotations of functions one by one, so that one that fails does not affect the others."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Mapping
from types import FunctionType, GenericAlias, MappingProxyType
from typing import Annotated, Any, Final, ForwardRef, Literal, TypeVar, Union

from baton_dsl import recursive_aliases
from baton_dsl.core.rules.missing_annotation import ENDLESS

_LONGEST_REASON: Final = 200
"""How many characters of an error are shown."""

_NO_FAILURES: Final[Mapping[str, Exception]] = MappingProxyType({})

_UNKNOWN: Final = TypeVar("_UNKNOWN")  # type: ignore[misc]
"""Replaces each part of an annotation that can't be evaluated: like a type variable, it may be any type."""


def evaluated(function: FunctionType) -> tuple[Mapping[str, Any], Mapping[str, Exception]]:
    """Evaluate the annotations of a function.

    An annotation that is a string is evaluated in the function's class, if it has one, and in its module.

    Args:
        function: A user's function.

    Returns:
        The annotations by parameter, with `return` for the result; and the exceptions of those that can't be evaluated.
        In such an annotation, each part that can't be evaluated is replaced by a type variable.

    Examples:
        >>> def report(order: "list[Order]", count: int) -> None: ...
        >>> hints, failed = evaluated(report)
        >>> hints["count"], typing.get_origin(hints["order"]), str(failed["order"])
        (<class 'int'>, <class 'list'>, "name 'Order' is not defined")
    """
    written = function.__annotations__
    if not any(map(is_written_as_text, written.values())):
        return _without_none(written), _NO_FAILURES
    hints: dict[str, Any] = dict(written)
    failed: dict[str, Exception] = {}
    inside = _class_namespace(function)
    scopes: _Scopes = [None] if inside is None else [inside, None]
    for name, hint in hints.items():
        if is_written_as_text(hint):
            try:
                hints[name] = _evaluate(function, hint, scopes)
            except Exception as error:  # noqa: BLE001 - a user's code may raise anything
                failed[name] = error
                hints[name] = _Parts(function, scopes).of(hint)
    return _without_none(hints), failed


def _without_none(hints: Mapping[str, Any]) -> Mapping[str, Any]:
    if None not in hints.values():
        return hints
    return {name: type(None) if hint is None else hint for name, hint in hints.items()}


def reason_of(error: Exception) -> str:
    """The exception of an annotation, on one line."""
    if isinstance(error, RecursionError):  # whose words depend on where the stack was full
        return ENDLESS
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_REASON]


def is_written_as_text(annotation: Any) -> bool:
    """Whether an annotation is a string or contains one: `list["Token"]`."""
    if isinstance(annotation, str | ForwardRef):
        return True
    if typing.get_origin(annotation) is Literal:
        return False
    return any(map(is_written_as_text, getattr(annotation, "__args__", None) or ()))


type _Scopes = list[Mapping[str, Any] | None]


def _class_namespace(function: FunctionType) -> Mapping[str, Any] | None:
    """The namespace of the class that a function is defined in; None for a function of a module."""
    *path, _ = function.__qualname__.split(".")
    found: Any = None
    for name in path:
        found = vars(found).get(name) if found is not None else function.__globals__.get(name)
        if not isinstance(found, type):
            return None
    return vars(found) if found is not None else None


def _evaluate(function: FunctionType, hint: Any, scopes: _Scopes) -> Any:
    """Evaluate one annotation with the names of the class, or, if that fails, with those of the module."""
    known = inspect.unwrap(function).__globals__
    parameters = getattr(function, "__type_params__", ())
    failure: Exception | None = None
    for scope in scopes:
        try:
            return recursive_aliases.evaluated(hint, known, scope or {}, parameters)
        except Exception as error:  # noqa: BLE001 - a user's code may raise anything
            failure = failure or error
    assert failure is not None
    raise failure


class _Parts:
    """Evaluates the parts of an annotation one by one, if the whole can't be evaluated.

    Args:
        function: The function that it belongs to.
        scopes: The namespaces to look in before those of the module.
    """

    def __init__(self, function: FunctionType, scopes: _Scopes) -> None:
        self._function = function
        self._scopes = scopes

    def of(self, hint: Any) -> Any:
        """An annotation, with a type variable for each part that can't be evaluated."""
        if isinstance(hint, ForwardRef):
            hint = hint.__forward_arg__
        if isinstance(hint, str):
            try:
                return self._node(ast.parse(hint.strip(), mode="eval").body)
            except (SyntaxError, ValueError):
                return _UNKNOWN
        if not is_written_as_text(hint):
            return hint
        if hasattr(hint, "__metadata__"):
            return Annotated[self.of(hint.__origin__), *hint.__metadata__]
        return _subscribed(typing.get_origin(hint), tuple(map(self.of, hint.__args__)))

    def _node(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() as text):
                return self.of(text)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return Union[self._node(left), self._node(right)]  # noqa: UP007 - the types are known only at run time
            case ast.Subscript(value=value, slice=index):
                base = self._whole(value)
                items = index.elts if isinstance(index, ast.Tuple) else [index]
                if base is Literal:
                    return self._whole(node)
                if base is Annotated:
                    return _subscribed(base, (self._node(items[0]), *map(self._whole, items[1:])))
                return _subscribed(base, tuple(map(self._node, items)))
            case _:
                return self._whole(node)

    def _whole(self, node: ast.expr) -> Any:
        code = compile(ast.Expression(node), "<annotation>", "eval")
        for scope in self._scopes:
            try:
                return eval(code, self._function.__globals__, dict(scope or {}))  # noqa: S307 - as Python itself does
            except Exception:  # noqa: BLE001, S112 - a user's code may raise anything
                continue
        return _UNKNOWN


def _subscribed(base: Any, arguments: tuple[Any, ...]) -> Any:
    try:
        return base[arguments if len(arguments) > 1 else arguments[0]]
    except Exception:  # noqa: BLE001 - a class may raise anything when it is subscripted
        return GenericAlias(base, arguments) if isinstance(base, type) else _UNKNOWN
