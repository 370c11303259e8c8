"""Decide whether one type is assignable to another, for front ends that have no type checker.

The live check and the text check translate annotations to `Term`s, and describe the bases of classes as `ClassFacts`.
The mypy plugin uses mypy's own types instead. Relations follow static typing (PEP 483, PEP 484 and the typing
specification), so the verdict is that of a type checker, or `None` where it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal

from baton_dsl.core.showing import apart, show
from baton_dsl.core.spec import Absent
from baton_dsl.core.standard import (
    COVARIANT,
    IMPLEMENTED,
    OUTCOME,
    STANDARD,
)
from baton_dsl.core.storing import Storing
from baton_dsl.core.terms import (
    ANY,
    NEVER,
    NONE,
    OBJECT,
    AnyType,
    ClassFacts,
    Instance,
    Key,
    LiteralOf,
    Term,
    TupleOf,
    UnionOf,
    customized,
    term_of,
    union,
)

__all__ = [
    "ANY",
    "NEVER",
    "NONE",
    "OBJECT",
    "STANDARD",
    "AnyType",
    "ClassFacts",
    "Instance",
    "Key",
    "LiteralOf",
    "Term",
    "TermTypes",
    "TupleOf",
    "UnionOf",
    "customized",
    "union",
]

_BOOL: Final = Instance("builtins.bool")
_NOT_ITEMS: Final = ("builtins.str", "builtins.bytes", "builtins.bytearray")
"""Types that are iterable, but that nobody means to map over character by character."""


@dataclass(slots=True)
class TermTypes:
    """An implementation of `Types` for terms.

    Args:
        facts: Returns the facts about a class by its full name; None for an unknown class.
        dotted: Turns the full name of a class into the dotted name that users know.
    """

    facts: Callable[[str], ClassFacts | None]
    dotted: Callable[[str], str] = str
    _storing: Storing = field(init=False)
    _ancestors: dict[str, dict[str, tuple[Term, ...]] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._storing = Storing(self.about, self._as)

    def about(self, name: str) -> ClassFacts | None:
        """The facts about a class: from the standard library first, then from the front end."""
        return STANDARD.get(name) or self.facts(name)

    def assignable(self, source: object, target: object, /) -> bool | None:
        """May a value of type `source` go where `target` is expected? None if that is unknown."""
        if isinstance(source, LiteralOf) and isinstance(target, Instance) and source.kind == target.name:
            return True  # the fast path for nearly every bound input
        return self._assignable(term_of(source), term_of(target), 0)

    def accepts_none(self, target: object, /) -> bool | None:
        """May `None` go where `target` is expected?"""
        return self.assignable(NONE, target)

    def list_of(self, item: object, /) -> object:
        """`list[item]`."""
        return Instance("builtins.list", (term_of(item),))

    def dict_of(self, value: object, /) -> object:
        """`dict[str, value]`."""
        return Instance("builtins.dict", (Instance("builtins.str"), term_of(value)))

    def optional(self, item: object, /) -> object:
        """`item | None`."""
        return union([term_of(item), NONE])

    def outcome_of(self, item: object, /) -> object:
        """`Outcome[item]`."""
        return Instance(OUTCOME, (term_of(item),))

    def item_of(self, collection: object, /) -> object | None:
        """The type of a collection's items; for a mapping, pairs of key and value. None if it is not a collection."""
        term = term_of(collection)
        match term:
            case TupleOf(items):
                return union(list(items))
            case UnionOf(items):
                parts = [item if isinstance(item, AnyType) else self.item_of(item) for item in items]
                return None if None in parts else union([term_of(part) for part in parts])
            case Instance() if any(isinstance(self._as(term, name), tuple) for name in _NOT_ITEMS):
                return None
            case Instance(name, arguments):
                as_mapping = self._as(term, "collections.abc.Mapping")
                if as_mapping:
                    return TupleOf(as_mapping)
                as_iterable = self._as(term, "collections.abc.Iterable")
                if as_iterable is None:
                    return Absent.UNKNOWN
                if as_iterable is False:
                    return None
                return as_iterable[0] if as_iterable and (arguments or self._is_closed(name)) else Absent.UNKNOWN
            case LiteralOf():
                return None
            case _:
                return Absent.UNKNOWN

    def unserializable(self, type: object, /) -> str | None:
        """The part of a type that can't round-trip through JSON, or None."""
        return None if _is_plain(type) else self._storing.unserializable(term_of(type))

    def unreadable(self, type: object, /) -> str | None:
        """The part of a type that can't be read from JSON, or None."""
        return None if _is_plain(type) else self._storing.unreadable(term_of(type))

    def unevaluable(self, type: object, /) -> tuple[str, str] | None:
        """A class in a type with field annotations that can't be evaluated, and why; None if there is none."""
        if isinstance(type, Instance) and not type.arguments and type.name in STANDARD:
            return None  # the fast path for nearly every type
        return self._storing.unevaluable(term_of(type))

    def apart(self, one: object, other: object, /) -> tuple[str, str]:
        """Format two types: classes with the same short name by their dotted names, others by short names."""
        return apart(term_of(one), term_of(other), self.dotted)

    def show(self, type: object, /) -> str:
        """The type as users write it, with short names."""
        return show(term_of(type))

    # -- relations --------------------------------------------------------------------------------------------

    def _assignable(self, source: Term, target: Term, depth: int) -> bool | None:
        if depth > 32:  # recursive aliases and classes
            return None
        if source == target:
            return None if _has_unknown(source) else True
        if isinstance(source, AnyType) or isinstance(target, AnyType):
            return None if _has_unknown(source) or _has_unknown(target) else True
        if isinstance(source, Absent) or isinstance(target, Absent):
            return True if target == OBJECT else None
        if target == OBJECT:
            return True
        match source, target:
            case UnionOf(items), _:
                return _all([self._assignable(item, target, depth + 1) for item in items])
            case _, UnionOf(items):
                verdict = _any([self._assignable(source, item, depth + 1) for item in items])
                return self._exhausted(source, items) if verdict is False else verdict
            case LiteralOf(), LiteralOf():
                return False
            case LiteralOf(_, kind), _:
                return self._assignable(Instance(kind), target, depth + 1)
            case TupleOf(items), TupleOf(expected):
                if len(items) != len(expected):
                    return False
                pairs = zip(items, expected, strict=True)
                return _all([self._assignable(item, wanted, depth + 1) for item, wanted in pairs])
            case TupleOf(items), Instance():
                return self._assignable(Instance("builtins.tuple", (union(list(items)),)), target, depth + 1)
            case Instance(), TupleOf():
                # a tuple of unknown length does not fit a tuple of known length; a NamedTuple may
                is_tuple = self._as(source, "builtins.tuple")
                if is_tuple == (ANY,):  # by the typing specification, this matches a tuple of any length
                    return None
                return False if source.name in STANDARD or is_tuple is False else None
            case Instance(name), LiteralOf(_, kind):
                if self.about(name) is None:  # an unknown name may be an alias of anything
                    return None
                related = self._as(Instance(kind), name)
                return False if name == kind or related is False else None
            case Instance(), Instance():
                return self._instance(source, target, depth)
            case _:
                return None

    def _exhausted(self, source: Term, items: tuple[Term, ...]) -> bool | None:
        """Whether a union of literals lists every value of a class (`bool` or an enum), and so equals the class."""
        literals = {item.value for item in items if isinstance(item, LiteralOf) and Instance(item.kind) == source}
        if source == _BOOL:
            return literals == {"True", "False"}
        enum = isinstance(source, Instance) and source.name not in STANDARD
        return None if enum and len(literals) > 1 else False  # the number of an enum's members is not known here

    def _instance(self, source: Instance, target: Instance, depth: int) -> bool | None:
        facts = self.about(target.name)
        if source.name != target.name and facts is not None and facts.keys is not None:
            return self._typed_dict(source, facts.keys, depth)
        seen = self._as(source, target.name)
        if seen is None:
            return None
        if seen is False:
            if facts is None:
                return None
            is_told = source.name in STANDARD and target.name in IMPLEMENTED
            return None if facts.is_protocol and not is_told else False
        if not target.arguments or not seen:
            return True  # a bare generic is a generic of Any
        if len(seen) != len(target.arguments):
            return None
        covariant = COVARIANT.get(target.name, ())
        verdicts: list[bool | None] = []
        for index, (given, expected) in enumerate(zip(seen, target.arguments, strict=True)):
            forward = self._assignable(given, expected, depth + 1)
            if index < len(covariant) and covariant[index]:
                verdicts.append(forward)
            elif target.name in STANDARD:
                verdicts.append(_all([forward, self._assignable(expected, given, depth + 1)]))
            else:  # a user's class: only a type checker infers its variance
                verdicts.append(True if given == expected else None)
        return _all(verdicts)

    def _typed_dict(self, source: Instance, target: tuple[Key, ...], depth: int) -> bool | None:
        facts = self.about(source.name)
        if facts is None:
            return None
        if facts.keys is None:
            ancestors = self._all_ancestors(source.name)
            return None if ancestors is None or "?" in ancestors else False
        given = {key.name: key for key in facts.keys}
        return _all([self._item(given.get(key.name), key, depth) for key in target])

    def _item(self, given: Key | None, wanted: Key, depth: int) -> bool | None:
        """Whether an item of one TypedDict fits that of another (PEP 589, 655 and 705)."""
        is_loose = wanted.is_read_only and not wanted.is_required
        if given is None:  # a TypedDict without the item may have one of any type at run time
            return (is_loose and wanted.type == OBJECT) or (False if wanted.is_required else None)
        if given.is_required != wanted.is_required and not (given.is_required and is_loose):
            return False
        forward = self._assignable(given.type, wanted.type, depth + 1)
        if wanted.is_read_only:
            return forward
        return False if given.is_read_only else _all([forward, self._assignable(wanted.type, given.type, depth + 1)])

    def _as(self, source: Term, ancestor: str) -> tuple[Term, ...] | Literal[False] | None:
        """The arguments with which `source` derives from `ancestor`; False if it does not derive, None if unknown."""
        if not isinstance(source, Instance):
            return None
        if source.name == ancestor:
            return source.arguments
        ancestors = self._all_ancestors(source.name)
        facts = self.about(source.name)
        if ancestors is None or facts is None:
            return None
        if ancestor not in ancestors:
            return None if "?" in ancestors else False
        arguments = ancestors[ancestor]
        if facts.parameters and len(source.arguments) != len(facts.parameters):
            return () if not source.arguments else None
        given = dict(zip(facts.parameters, source.arguments, strict=False))
        return tuple(_substitute(argument, given) for argument in arguments)

    def _all_ancestors(self, name: str) -> dict[str, tuple[Term, ...]] | None:
        """All ancestors of a class, with their arguments in terms of its own; "?" marks an unknown base."""
        if name in STANDARD:
            return _standard_ancestors(name)
        if name in self._ancestors:
            return self._ancestors[name]
        facts = self.about(name)
        if facts is None:
            return None
        self._ancestors[name] = {"?": ()}  # stops at a class that derives from itself
        found: dict[str, tuple[Term, ...]] = {}
        if facts.bases is None:
            found["?"] = ()
        for base in facts.bases or ():
            if not isinstance(base, Instance):
                found["?"] = ()
                continue
            found.setdefault(base.name, base.arguments)
            above = self._all_ancestors(base.name)
            base_facts = self.about(base.name)
            if above is None or base_facts is None:
                found["?"] = ()
                continue
            _inherit(found, base, base_facts, above)
        self._ancestors[name] = found
        return found

    def _is_closed(self, name: str) -> bool:
        """True if a class has no type parameters, so that its items are known without arguments."""
        facts = self.about(name)
        return facts is not None and not facts.parameters


@cache
def _standard_ancestors(name: str) -> dict[str, tuple[Term, ...]]:
    """The ancestors of a class of the standard library. Cached: such classes derive only from each other."""
    found: dict[str, tuple[Term, ...]] = {}
    for base in STANDARD[name].bases or ():
        if isinstance(base, Instance):
            found.setdefault(base.name, base.arguments)
            _inherit(found, base, STANDARD[base.name], _standard_ancestors(base.name))
    return found


def _inherit(
    found: dict[str, tuple[Term, ...]], base: Instance, facts: ClassFacts, above: Mapping[str, tuple[Term, ...]]
) -> None:
    """Add the ancestors of a base, with their arguments in terms of the class that derives from it."""
    given = dict(zip(facts.parameters, base.arguments, strict=False))
    for further, arguments in above.items():
        found.setdefault(further, tuple(_substitute(argument, given) for argument in arguments))


_PLAIN: Final = frozenset(
    name for name, facts in STANDARD.items() if facts.serializable is not False and not facts.parameters
)


def _is_plain(type: object) -> bool:
    """Whether a type is a plain class of the standard library that JSON can carry, as nearly every type is."""
    return isinstance(type, Instance) and type.name in _PLAIN


def _has_unknown(term: Term) -> bool:
    match term:
        case Absent():
            return True
        case UnionOf(items) | TupleOf(items) | Instance(_, items):
            return any(map(_has_unknown, items))
        case _:
            return False


def _substitute(term: Term, given: dict[Term, Term]) -> Term:
    match term:
        case Instance(name, arguments):
            if term in given:
                return given[term]
            if not arguments:
                return Absent.UNKNOWN if name.startswith("~") else term
            return Instance(name, tuple(_substitute(argument, given) for argument in arguments))
        case UnionOf(items):
            return union([_substitute(item, given) for item in items])
        case TupleOf(items):
            return TupleOf(tuple(_substitute(item, given) for item in items))
        case _:
            return term


def _all(verdicts: list[bool | None]) -> bool | None:
    """False if any verdict is False; else None if any is None; else True."""
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _any(verdicts: list[bool | None]) -> bool | None:
    """True if any verdict is True; else None if any is None; else False."""
    if True in verdicts:
        return True
    return None if None in verdicts else False
