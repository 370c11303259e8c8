"""Write types as users write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from baton_dsl.core.spec import Absent
from baton_dsl.core.standard import STANDARD
from baton_dsl.core.terms import NONE, AnyType, Instance, LiteralOf, Term, TupleOf, UnionOf, classes_in

_NOTHING: Final[Mapping[str, str]] = {}


def short_name(name: str) -> str:
    """The last part of a full name, without what a front end adds to tell two classes of one name apart."""
    return name.rsplit(".", 1)[-1].partition("#")[0]


def apart(one: Term, other: Term, dotted: Callable[[str], str]) -> tuple[str, str]:
    """Two types side by side: classes of one short name by their dotted names, all others by the short ones.

    Args:
        one: A type.
        other: A type that is not the same.
        dotted: The dotted name that users know a class by, from its full name.
    """
    found: dict[str, set[str]] = {}
    for term in (one, other):
        for each in classes_in(term):
            found.setdefault(short_name(each.name), set()).add("" if each.name in STANDARD else each.name)
    names = [name for names in found.values() if len(names) > 1 for name in names]
    full = {name: dotted(name).partition("#")[0] for name in names}
    return show(one, full), show(other, full)


def show(term: Term, full: Mapping[str, str] = _NOTHING) -> str:
    """A type as users write it: by short names, but for classes that are to have another.

    Args:
        term: The type.
        full: Such names, by full name.
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
