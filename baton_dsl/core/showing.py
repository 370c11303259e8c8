"""Terms as users write them."""

from __future__ import annotations

from collections.abc import Callable

from baton_dsl.core.spec import Absent
from baton_dsl.core.terms import NONE, AnyType, Instance, LiteralOf, Term, TupleOf, UnionOf, classes_in


def whole(name: str) -> str:
    """A full name without what a front end adds to tell two classes of one name apart."""
    return name.partition("#")[0]


def single(name: str) -> str:
    """The last part of a full name."""
    return whole(name).rsplit(".", 1)[-1]


def shown(term: Term, name_of: Callable[[str], str] = single) -> str:
    """A type as users write it.

    Args:
        term: The type.
        name_of: How the full name of a class is written.
    """

    def show(item: Term) -> str:
        return shown(item, name_of)

    match term:
        case AnyType():
            return "Any"
        case Absent():
            return "?"
        case UnionOf(()):
            return "Never"
        case UnionOf(items):
            rest = [item for item in items if item != NONE]
            parts = [show(item) for item in rest]
            return " | ".join([*parts, "None"] if len(rest) < len(items) else parts)
        case TupleOf(items):
            return f"tuple[{', '.join(map(show, items)) or '()'}]"
        case LiteralOf(value):
            return f"Literal[{value}]"
        case Instance("types.NoneType"):
            return "None"
        case Instance("builtins.tuple", (item,)):
            return f"tuple[{show(item)}, ...]"
        case Instance(name, arguments):
            told = name_of(name)
            return f"{told}[{', '.join(map(show, arguments))}]" if arguments else told


def shown_apart(one: Term, other: Term, full_name: Callable[[str], str]) -> tuple[str, str]:
    """Two types as users write them, with the full names of those classes whose short names are the same.

    Args:
        one: A type.
        other: Another one.
        full_name: The name of a class as Python would import it.

    Example:
        >>> mine, yours = Instance("app.a.Order"), Instance("app.b.Order")
        >>> shown_apart(Instance("builtins.list", (mine,)), yours, whole)
        ('list[app.a.Order]', 'app.b.Order')
    """
    names: dict[str, set[str]] = {}
    for term in (one, other):
        for found in classes_in(term):
            names.setdefault(single(found.name), set()).add(found.name)

    def told(name: str) -> str:
        short = single(name)
        return full_name(name).removeprefix("builtins.") if len(names.get(short, ())) > 1 else short

    return shown(one, told), shown(other, told)
