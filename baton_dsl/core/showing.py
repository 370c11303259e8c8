"""Format types as users write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from baton_dsl.core.spec import Absent
from baton_dsl.core.standard import STANDARD
from baton_dsl.core.terms import NONE, AnyType, Instance, LiteralOf, Term, TupleOf, UnionOf, classes_in

_NOTHING: Final[Mapping[str, str]] = {}


def short_name(name: str) -> str:
    """The last part of a full name, without the suffix that front ends add if two classes have the same name."""
    return name.rsplit(".", 1)[-1].partition("#")[0]


def apart(one: Term, other: Term, dotted: Callable[[str], str]) -> tuple[str, str]:
    """Format two types for comparison: classes with the same short name by their dotted names, others by short names.

    Args:
        one: A type.
        other: A different type.
        dotted: Turns the full name of a class into the dotted name that users know.
    """
    found: dict[str, set[str]] = {}
    for term in (one, other):
        for each in classes_in(term):
            found.setdefault(short_name(each.name), set()).add("" if each.name in STANDARD else each.name)
    names = [name for names in found.values() if len(names) > 1 for name in names]
    full = {name: dotted(name).partition("#")[0] for name in names}
    return show(one, full), show(other, full)


def show(term: Term, full: Mapping[str, str] = _NOTHING) -> str:
    """Format a type as users write it: by short names, except for the classes in `full`.

    Args:
        term: The type.
        full: The name to use for a class, by its full name.
    """

    def shown(type: Term) -> str:
        return show(type, full)

    match term:
        case AnyType():
            return "Any"
        case Absent():
            return "?"
        case UnionOf(()):
            return "Never"
        case UnionOf(items):
            rest = [item for item in items if item != NONE]
            parts = [shown(item) for item in rest]
            return " | ".join([*parts, "None"] if len(rest) < len(items) else parts)
        case TupleOf(items):
            return f"tuple[{', '.join(map(shown, items)) or '()'}]"
        case LiteralOf(value):
            return f"Literal[{value}]"
        case Instance("types.NoneType"):
            return "None"
        case Instance("builtins.tuple", (item,)):
            return f"tuple[{shown(item)}, ...]"
        case Instance(name, arguments):
            named = full.get(name) or short_name(name)
            return f"{named}[{', '.join(map(shown, arguments))}]" if arguments else named
