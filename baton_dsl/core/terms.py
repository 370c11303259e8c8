"""Types as plain values: what a front end without a type checker makes of annotations and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from baton_dsl.core.spec import Absent


@dataclass(frozen=True, slots=True)
class Instance:
    """A class, with its type arguments: `Instance("builtins.list", (Instance("builtins.int"),))`.

    `arguments` is empty for a generic class written without any.
    """

    name: str
    arguments: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class UnionOf:
    """One of several types; flat, without repetitions."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class TupleOf:
    """A tuple of fixed length."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class LiteralOf:
    """One value of `Literal[...]`: its class and its `repr`."""

    value: str
    kind: str
    """The full name of the value's class."""


@dataclass(frozen=True, slots=True)
class AnyType:
    """`Any`, written on purpose: fits everywhere and takes everything."""


type Term = Instance | UnionOf | TupleOf | LiteralOf | AnyType | Absent

ANY: Final = AnyType()
NONE: Final = Instance("types.NoneType")
OBJECT: Final = Instance("builtins.object")
NEVER: Final = UnionOf(())


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """What a front end knows of one class.

    Attributes:
        bases: The direct bases, with type arguments in terms of `parameters`; None if some can't be resolved.
        parameters: The class's own type parameters, as `Instance`s that stand for them in `bases`.
        is_protocol: True for a `Protocol`: structural, so "no" is never certain.
        fields: For a TypedDict, the types of its required and its optional keys.
        serializable: Whether a value round-trips through JSON; None if that can't be told.
    """

    bases: tuple[Term, ...] | None = ()
    parameters: tuple[Term, ...] = ()
    is_protocol: bool = False
    fields: tuple[tuple[str, Term, bool], ...] | None = None
    serializable: bool | None = None


def union(items: list[Term]) -> Term:
    """The union of types, flattened; a single one stays itself."""
    flat: dict[Term, None] = {}
    for item in items:
        for part in item.items if isinstance(item, UnionOf) else (item,):
            flat[part] = None
    return next(iter(flat)) if len(flat) == 1 else UnionOf(tuple(flat))
