"""Types as plain values, for front ends that have no type checker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from baton_dsl.core.spec import Absent


@dataclass(frozen=True, slots=True)
class Instance:
    """A class, with its type arguments: `Instance("builtins.list", (Instance("builtins.int"),))`.

    `arguments` is empty for a generic class written without any.
    """

    name: str
    arguments: tuple[Term, ...] = ()
    is_custom: bool = field(default=False, compare=False, repr=False)
    """True if metadata of the annotation may change how pydantic stores the class."""


@dataclass(frozen=True, slots=True)
class UnionOf:
    """A union of types; flat, without repetitions."""

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
    """An explicit `Any`: assignable to everything, and everything is assignable to it."""


type Term = Instance | UnionOf | TupleOf | LiteralOf | AnyType | Absent

ANY: Final = AnyType()
NONE: Final = Instance("types.NoneType")
OBJECT: Final = Instance("builtins.object")
NEVER: Final = UnionOf(())


class Key(NamedTuple):
    """One item of a TypedDict."""

    name: str
    type: Term
    is_required: bool = True
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """What a front end knows of one class.

    Attributes:
        bases: The direct bases, with type arguments in terms of `parameters`; None if some can't be resolved.
        parameters: The class's own type parameters, as `Instance`s that stand for them in `bases`.
        is_protocol: True for a `Protocol`: structural, so "no" is never certain.
        keys: The items of a TypedDict; None for any other class.
        serializable: Whether a value round-trips through JSON; None if that is unknown.
        parts: The types of the fields of a model, dataclass, TypedDict or NamedTuple that are stored as they are.
        incomplete: Why the annotations of its fields can't be evaluated; None if they can.
    """

    bases: tuple[Term, ...] | None = ()
    parameters: tuple[Term, ...] = ()
    is_protocol: bool = False
    keys: tuple[Key, ...] | None = None
    serializable: bool | None = None
    parts: tuple[Term, ...] = ()
    incomplete: str | None = None


def union(items: list[Term]) -> Term:
    """The union of types, flattened; a single one stays itself."""
    flat: dict[Term, None] = {}
    for item in items:
        for part in item.items if isinstance(item, UnionOf) else (item,):
            flat[part] = None
    return next(iter(flat)) if len(flat) == 1 else UnionOf(tuple(flat))


def customized(term: Term) -> Term:
    """Mark a type whose metadata may change how it is stored."""
    match term:
        case Instance(name, arguments):
            return Instance(name, arguments, is_custom=True)
        case UnionOf(items):
            return UnionOf(tuple(map(customized, items)))
        case TupleOf(items):
            return TupleOf(tuple(map(customized, items)))
        case _:
            return term


def classes_in(term: Term) -> Iterator[Instance]:
    """Every class in a type, the outer ones first."""
    match term:
        case Instance(_, items):
            yield term
        case UnionOf(items) | TupleOf(items):
            pass
        case _:
            return
    for item in items:
        yield from classes_in(item)


_TERMS: Final = (Instance, UnionOf, TupleOf, LiteralOf, AnyType, Absent)
"""The kinds of terms, as a tuple because `isinstance` with a union is slower."""


def term_of(type: object) -> Term:
    """The type of a spec as a term; unknown if it is not a term."""
    return type if isinstance(type, _TERMS) else Absent.UNKNOWN
