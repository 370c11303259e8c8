"""Decide which types JSON can carry, and which annotations can't be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal

from baton_dsl.core.showing import short_name, show
from baton_dsl.core.spec import Absent
from baton_dsl.core.standard import DEFAULTDICT, HAVE_DEFAULT, NOT_KEYS, ONLY_READ, STANDARD
from baton_dsl.core.terms import ClassFacts, Instance, Term, TupleOf, UnionOf, classes_in

type As = Callable[[Term, str], tuple[Term, ...] | Literal[False] | None]


class Storing:
    """Answers for `TermTypes` which types JSON can carry.

    Args:
        about: The facts about a class.
        seen_as: The type arguments with which a class derives from an ancestor; see `TermTypes`.
    """

    def __init__(self, about: Callable[[str], ClassFacts | None], seen_as: As) -> None:
        self._about = about
        self._as = seen_as
        self._stored: set[str] = set()
        """Classes that JSON can carry with all their fields, or for which that is unknown."""
        self._complete: set[str] = set()
        """Classes whose annotations, and those of all their fields, could be evaluated. That can't change later."""

    def unserializable(self, term: Term) -> str | None:
        """The part of a type that can't round-trip through JSON, or None."""
        seen: set[str] = set()
        part = self._unserializable(term, seen, ())
        if part is None:
            self._stored |= seen
        return part

    def unreadable(self, term: Term) -> str | None:
        """The part of a type that can't be read from JSON, or None."""
        return self._unserializable(term, set(), ONLY_READ)

    def _unserializable(self, term: Term, seen: set[str], besides: Collection[str]) -> str | None:
        """The part of a type that JSON can't carry.

        Args:
            term: The type.
            seen: The classes that were checked already.
            besides: Classes that are accepted without a check.
        """
        inner: Iterable[Term]
        match term:
            case Instance(name) if name in besides:
                return None
            case Instance(name, arguments):
                if term.is_custom:
                    return None
                inner = arguments
                if (
                    name not in self._stored and name not in seen
                ):  # a class may contain itself, and many contain the same classes
                    facts = self._about(name)
                    seen.add(name)
                    if facts is not None:
                        if facts.parts and (part := self._first_unserializable(facts.parts, seen, besides)):
                            return part
                        if facts.serializable is False and not any(self._may_be(term, let) for let in besides):
                            return show(term)
                if name == DEFAULTDICT and not _has_default(term):
                    return show(term)
                if not arguments and name in STANDARD:
                    return None
                if self._has_bad_keys(term):
                    return show(term)
            case UnionOf(items) | TupleOf(items):
                inner = items
            case _:
                return None
        return self._first_unserializable(inner, seen, besides)

    def _may_be(self, term: Term, ancestor: str) -> bool:
        return self._as(term, ancestor) is not False

    def _first_unserializable(self, terms: Iterable[Term], seen: set[str], besides: Collection[str]) -> str | None:
        for term in terms:
            if part := self._unserializable(term, seen, besides):
                return part
        return None

    def unevaluable(self, term: Term) -> tuple[str, str] | None:
        """A class in a type with field annotations that can't be evaluated, and why; None if there is none."""
        seen: set[str] = set()
        waiting = [term]
        while waiting:
            for found in classes_in(waiting.pop()):
                if found.name in seen or found.name in self._complete or found.name in STANDARD:
                    continue
                seen.add(found.name)
                facts = self._about(found.name)
                if facts is not None and facts.incomplete is not None:
                    return short_name(found.name), facts.incomplete
                waiting += facts.parts if facts is not None else ()
        self._complete |= seen
        return None

    def _has_bad_keys(self, mapping: Instance) -> bool:
        as_mapping = self._as(mapping, "collections.abc.Mapping")
        if not as_mapping:
            return False
        keys = as_mapping[0].items if isinstance(as_mapping[0], UnionOf) else as_mapping[:1]
        return any(
            isinstance(key, TupleOf) or any(isinstance(self._as(key, name), tuple) for name in NOT_KEYS) for key in keys
        )


def _has_default(defaultdict: Instance) -> bool:
    """Whether pydantic knows, or may know, a default for the values of a `defaultdict`."""
    if not defaultdict.arguments:
        return False
    match defaultdict.arguments[-1]:
        case Absent() | TupleOf():
            return True
        case Instance(name) as value:
            return value.is_custom or name in HAVE_DEFAULT or name.startswith("~")
        case UnionOf(items):
            return any(isinstance(item, Absent) or (isinstance(item, Instance) and item.is_custom) for item in items)
        case _:
            return False
