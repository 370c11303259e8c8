"""Make recursive aliases by assignment, such as `Json = Union[list["Json"], str]`, usable for pydantic.

Python evaluates the string inside such an alias to the alias itself, and pydantic follows it until the stack is full.
Pydantic can handle a `type` statement, so the name is evaluated to one of those instead.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ForwardRef, Literal, TypeAliasType


def evaluated(hint: Any, known: dict[str, Any], scope: Mapping[str, Any], type_params: tuple[Any, ...] = ()) -> Any:
    """Evaluate one annotation.

    Args:
        hint: The annotation: a string, or with strings inside it.
        known: The names of its module.
        scope: The names to look in before those.
        type_params: The type parameters of the function that has it.

    Returns:
        The annotation, in which each recursive alias is a `type` alias.

    Raises:
        Exception: Whatever the annotation raises.

    Examples:
        >>> Json = typing.Union[list["Json"], str]
        >>> evaluated("Json | None", {"Json": Json}, {})
        Json | None
    """
    carrier = SimpleNamespace(__annotations__={"it": hint}, __type_params__=type_params)
    # a new namespace each time, because typing caches what a string meant in another namespace
    found = typing.get_type_hints(carrier, known, dict(scope), include_extras=True)["it"]
    strings = _strings_in(found)
    names = {text for text in strings if text.isidentifier() and not isinstance(scope.get(text), TypeAliasType)}
    if not names:
        return found
    aliases: dict[str, Any] = {}
    for name in names:
        aliases[name] = _alias(name, known, scope, aliases)
    return evaluated(hint, known, {**scope, **aliases}, type_params)


def _alias(name: str, known: dict[str, Any], scope: Mapping[str, Any], aliases: Mapping[str, Any]) -> Any:
    """A `type` alias with the name and the value of a recursive alias by assignment."""
    value = scope[name] if name in scope else known[name]
    namespace: dict[str, Any] = {
        "__name__": known.get("__name__", __name__),
        "value": lambda: evaluated(value, known, {**scope, **aliases}),
    }
    exec(f"type {name} = value()", namespace)  # noqa: S102 - an identifier; only this statement has a lazy value
    return namespace[name]


def _strings_in(annotation: Any) -> Iterator[str]:
    """The strings that Python leaves in an annotation when it evaluates it: those that stand for themselves."""
    if isinstance(annotation, ForwardRef):
        yield annotation.__forward_arg__
    elif typing.get_origin(annotation) is not Literal:
        for part in getattr(annotation, "__args__", None) or ():
            yield from _strings_in(part)
