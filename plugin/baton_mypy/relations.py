"""`Types` for mypy: mypy decides what is assignable, and types are formatted as in the other front ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mypy.checkexpr import has_uninhabited_component
from mypy.maptype import map_instance_to_supertype
from mypy.nodes import TypeAlias, TypeInfo
from mypy.server.trigger import make_wildcard_trigger
from mypy.subtypes import is_subtype
from mypy.typeops import make_simplified_union
from mypy.types import (
    AnyType,
    CallableType,
    Instance,
    LiteralType,
    NoneType,
    Overloaded,
    TupleType,
    Type,
    TypeAliasType,
    TypedDictType,
    TypeOfAny,
    TypeType,
    UninhabitedType,
    UnionType,
    UnpackType,
    get_proper_type,
    has_type_vars,
)

from baton_dsl.core import types as core_terms
from baton_dsl.core.spec import MISSING, UNKNOWN
from baton_dsl.core.types import ANY, NEVER, NONE, STANDARD, ClassFacts, LiteralOf, Term, TermTypes, TupleOf, union
from baton_mypy import names
from baton_mypy.classes import Classes

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_DEEPEST: Final = 16
"""The most nested recursive aliases that are unrolled: one that grows with each expansion has no end."""
_ANY: Final = AnyType(TypeOfAny.special_form)
"""Stands for an item whose type is not known, in a union with others."""
_RENAMED: Final = {"typing.AbstractSet": "collections.abc.Set"}
_NOT_ITEMS: Final = ("builtins.str", "builtins.bytes", "builtins.bytearray", names.MODEL)
"""Types that are iterable, but that nobody means to map over by character or field."""


def known(type: Type) -> object:
    """The type, `MISSING` if there is no annotation, or `UNKNOWN` if rules must not use it."""
    proper = get_proper_type(type)
    if isinstance(proper, AnyType):
        return MISSING if proper.type_of_any is TypeOfAny.unannotated else type
    return UNKNOWN if has_type_vars(type) or has_uninhabited_component(type) else type


_CUSTOM: Final = "baton custom"


def customized(type: Type) -> Type:
    """Mark a type whose storage is unknown, by an alias with an impossible name; to mypy, it is the same type."""
    return TypeAliasType(TypeAlias(type, _CUSTOM, "", -1, -1), [])


def _is_customized(type: Type) -> bool:
    return isinstance(type, TypeAliasType) and type.alias is not None and type.alias.fullname == _CUSTOM


class MypyTypes:
    """Answers questions about the types in one flow.

    Args:
        api: The checker of the module that contains the flow.
    """

    def __init__(self, api: TypeChecker) -> None:
        self._api = api
        self._terms = TermTypes(self._about)
        self._classes = Classes(api, self._term, self._terms)
        self._unserializable: dict[Type, str | None] = {}
        self._unreadable: dict[Type, str | None] = {}
        self._unevaluable: dict[Type, tuple[str, str] | None] = {}

    def depend(self, checker: TypeChecker) -> None:
        """Make the daemon check the module again when a class that was inspected changes.

        A class that loses its `@dataclass` keeps its name and bases, so mypy itself would not do so.
        """
        for name in {base.fullname for info in self._classes.infos.values() for base in info.mro}:
            targets = checker.tree.plugin_deps.setdefault(make_wildcard_trigger(name), set())
            targets.add(checker.tscope.current_target())

    def assignable(self, source: object, target: object, /) -> bool | None:
        """May a value of type `source` go where `target` is expected? None if that is unknown."""
        if not isinstance(source, Type) or not isinstance(target, Type):
            return None
        return is_subtype(source, target, options=self._api.options)

    def accepts_none(self, target: object, /) -> bool | None:
        """May `None` go where `target` is expected?"""
        return self.assignable(NoneType(), target)

    def list_of(self, item: object, /) -> object:
        """`list[item]`."""
        return self._api.named_generic_type("builtins.list", [item]) if isinstance(item, Type) else UNKNOWN

    def dict_of(self, value: object, /) -> object:
        """`dict[str, value]`."""
        if not isinstance(value, Type):
            return UNKNOWN
        text = self._api.named_generic_type("builtins.str", [])
        return self._api.named_generic_type("builtins.dict", [text, value])

    def optional(self, item: object, /) -> object:
        """`item | None`."""
        return make_simplified_union([item, NoneType()]) if isinstance(item, Type) else UNKNOWN

    def outcome_of(self, item: object, /) -> object:
        """`Outcome[item]`."""
        module, _, name = names.OUTCOME.rpartition(".")
        tree = self._api.modules.get(module)
        found = tree.names.get(name) if tree is not None else None
        if found is None or not isinstance(found.node, TypeInfo) or not isinstance(item, Type):
            return UNKNOWN
        return Instance(found.node, [item])

    def _pair(self, key: Type, value: Type) -> Type:
        either = make_simplified_union([key, value])
        return TupleType([key, value], self._api.named_generic_type("builtins.tuple", [either]))

    def item_of(self, collection: object, /) -> object | None:
        """The type of a collection's items; for a mapping, pairs of key and value. None if it is not a collection."""
        if not isinstance(collection, Type):
            return UNKNOWN
        proper = get_proper_type(collection)
        match proper:
            case TupleType():
                items = proper.items
                return UNKNOWN if any(isinstance(item, UnpackType) for item in items) else UnionType.make_union(items)
            case UnionType():  # one with Any in it stays one: mypy would take all of it for Any
                parts = [self.item_of(item) for item in proper.items]
                types = [part if isinstance(part, Type) else _ANY for part in parts]
                return None if None in parts else UNKNOWN if set(types) == {_ANY} else UnionType.make_union(types)
            case TypedDictType():
                text, anything = (self._api.named_generic_type(f"builtins.{name}", []) for name in ("str", "object"))
                return self._pair(text, anything)
            case Instance() if any(base.fullname in _NOT_ITEMS for base in proper.type.mro):
                return None
            case Instance() if proper.type.has_base("typing.Mapping"):
                mapping = next(base for base in proper.type.mro if base.fullname == "typing.Mapping")
                return self._pair(*map_instance_to_supertype(proper, mapping).args)
            case Instance() if proper.type.has_base("typing.Iterable"):
                iterable = next(base for base in proper.type.mro if base.fullname == "typing.Iterable")
                return map_instance_to_supertype(proper, iterable).args[0]
            case Instance() if proper.type.fallback_to_any:
                return UNKNOWN
            case Instance() | NoneType() | LiteralType():
                return None
            case _:
                return UNKNOWN

    def unserializable(self, type: object, /) -> str | None:
        """The part of a type that can't round-trip through JSON, or None."""
        if not isinstance(type, Type) or _is_customized(type):
            return None
        if type not in self._unserializable:
            self._unserializable[type] = self._terms.unserializable(self._term(type))
        return self._unserializable[type]

    def unreadable(self, type: object, /) -> str | None:
        """The part of a type that can't be read from JSON, or None."""
        if not isinstance(type, Type) or _is_customized(type):
            return None
        if type not in self._unreadable:
            self._unreadable[type] = self._terms.unreadable(self._term(type))
        return self._unreadable[type]

    def apart(self, one: object, other: object, /) -> tuple[str, str]:
        """Format two types as the other front ends do."""
        return self._terms.apart(*(self._term(each) if isinstance(each, Type) else UNKNOWN for each in (one, other)))

    def show(self, type: object, /) -> str:
        """Format the type as the other front ends do."""
        return self._terms.show(self._term(type) if isinstance(type, Type) else UNKNOWN)

    def unevaluable(self, type: object, /) -> tuple[str, str] | None:
        """A class in a type with field annotations that can't be evaluated, and why; None if there is none."""
        if not isinstance(type, Type):
            return None
        if type not in self._unevaluable:
            self._unevaluable[type] = self._terms.unevaluable(self._term(type))
        return self._unevaluable[type]

    def _about(self, name: str) -> ClassFacts | None:
        return self._classes.facts(name)

    # -- mypy's types as terms --------------------------------------------------------------------------------

    def _term(self, type: Type, within: tuple[TypeAliasType, ...] = ()) -> Term:
        """The type as a term. A recursive alias is unrolled once, and unknown inside itself.

        Args:
            type: The type.
            within: The aliases that are being unrolled.
        """
        if isinstance(type, TypeAliasType) and type.is_recursive:
            if type in within or len(within) == _DEEPEST:
                return UNKNOWN
            within = (*within, type)

        def terms(types: Iterable[Type]) -> tuple[Term, ...]:
            return tuple(self._term(item, within) for item in types)

        proper = get_proper_type(type)
        match proper:
            case AnyType():
                return ANY
            case NoneType():
                return NONE
            case UninhabitedType():
                return NEVER
            case UnionType():
                return union([*terms(proper.items)])
            case LiteralType():
                kind = proper.fallback.type
                shown = f"{kind.name}.{proper.value}" if kind.is_enum else proper.value_repr()
                return LiteralOf(shown, self._named(kind))
            case TupleType() if proper.partial_fallback.type.fullname == "builtins.tuple":
                return TupleOf(terms(proper.items))
            case TupleType():
                return core_terms.Instance(self._named(proper.partial_fallback.type))
            case TypedDictType():
                return core_terms.Instance(self._named(proper.fallback.type))
            case CallableType() | Overloaded():
                return core_terms.Instance("builtins.type" if proper.is_type_obj() else "collections.abc.Callable")
            case TypeType():
                return core_terms.Instance("builtins.type", terms([proper.item]))
            case Instance():
                name = self._named(proper.type)
                known = STANDARD.get(name)
                # mypy fills in the defaults of type parameters in typeshed
                is_generic = known is None or known.parameters
                return core_terms.Instance(name, terms(proper.args) if is_generic else ())
            case _:
                return UNKNOWN

    def _named(self, info: TypeInfo) -> str:
        name = info.fullname
        if name.startswith("typing."):
            name = _RENAMED.get(name, "collections.abc" + name.removeprefix("typing"))
            name = name if name in STANDARD else info.fullname
        if name not in STANDARD:
            self._classes.infos[name] = info
        return name
