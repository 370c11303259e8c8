"""Annotations of live code as terms, and what live classes say of themselves."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, ForwardRef, Literal, NewType, ParamSpec, TypeAliasType, TypeVar, TypeVarTuple, Union

import typing_extensions
from pydantic import BaseModel, PydanticSchemaGenerationError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.types import (
    ANY,
    NONE,
    STANDARD,
    ClassFacts,
    Instance,
    LiteralOf,
    Term,
    TermTypes,
    TupleOf,
    UnionOf,
    union,
)

_DEEPEST: Final = 16
"""Levels of an annotation that are looked at: a recursive alias has no end."""


def unaliased(annotation: Any) -> Any:
    """What a `type` alias stands for, one level; anything else unchanged.

    Raises:
        NameError: If the alias names what does not exist at run time: its value is evaluated here.
    """
    if isinstance(annotation, TypeAliasType):
        return annotation.__value__
    origin = getattr(annotation, "__origin__", None)
    if not isinstance(origin, TypeAliasType) or hasattr(annotation, "__metadata__"):
        return annotation  # `Annotated[Alias, ...]` has the alias for its origin too
    value, variables = origin.__value__, origin.__type_params__
    if any(isinstance(variable, TypeVarTuple | ParamSpec) for variable in variables):
        return annotation
    # The value's own order of variables is that of their first use, which need not be that of the alias.
    given = dict(zip(variables, annotation.__args__, strict=False))
    if isinstance(value, TypeVar):
        return given.get(value, value)
    used = getattr(value, "__parameters__", ())
    return value[tuple(given.get(variable, Any) for variable in used)] if used else value


def named_class(annotation: Any) -> tuple[type | None, tuple[Any, ...]]:
    """The class that an annotation names, through aliases and metadata, and its arguments; no class for any other.

    Example:
        >>> type Names = typing.Annotated[list[str], "sorted"]
        >>> named_class(Names)
        (<class 'list'>, (<class 'str'>,))
    """
    for _ in range(_DEEPEST):
        inner = unaliased(annotation)
        if hasattr(inner, "__metadata__"):
            inner = inner.__origin__
        if inner is annotation:
            break
        annotation = inner
    cls = typing.get_origin(annotation) or annotation
    return (cls if isinstance(cls, type) else None), typing.get_args(annotation)


# --- annotations as terms ----------------------------------------------------------------------------------------

_classes: dict[str, Any] = {}


def term_of(annotation: Any) -> Term:
    """An annotation as a term; `UNKNOWN` for what has none (type variables, forward references).

    Raises:
        NameError: If a `type` alias names what does not exist at run time.

    Example:
        >>> LIVE_TYPES.show(term_of(dict[str, list[int] | None]))
        'dict[str, list[int] | None]'
        >>> LIVE_TYPES.assignable(term_of(list[int]), term_of(list[str]))
        False
    """
    return _translate(annotation, {}, 0)


def _translate(annotation: Any, variables: Mapping[Any, Term], depth: int) -> Term:
    if depth > _DEEPEST:
        return UNKNOWN
    if annotation is None or annotation is type(None):
        return NONE
    if annotation is Any:
        return ANY
    if isinstance(annotation, TypeVar):
        return variables.get(annotation, UNKNOWN)
    if isinstance(annotation, str | ForwardRef):
        return UNKNOWN
    alias = unaliased(annotation)
    if alias is not annotation:
        return _translate(alias, variables, depth + 1)
    if hasattr(annotation, "__metadata__"):
        return _translate(annotation.__origin__, variables, depth + 1)
    if isinstance(annotation, NewType):
        return Instance(_registered(f"{annotation.__module__}.{annotation.__name__}", annotation))
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Literal:
        return union([_literal(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return union([_translate(item, variables, depth + 1) for item in arguments])
    if origin is Callable:
        return Instance("collections.abc.Callable")
    if origin is tuple and annotation is not typing.Tuple:  # noqa: UP006 - bare, it is a tuple of anything
        return _tuple(arguments, variables, depth)
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        origin, arguments = generic["origin"], generic["args"]
    if isinstance(origin, type):
        items = tuple(_translate(item, variables, depth + 1) for item in arguments)
        return Instance(_registered(_full_name(origin), origin), items)
    if isinstance(annotation, type):
        return Instance(_registered(_full_name(annotation), annotation))
    return UNKNOWN


def _literal(value: object) -> LiteralOf:
    kind = type(value)
    shown = f"{kind.__name__}.{value.name}" if isinstance(value, Enum) else repr(value)
    return LiteralOf(shown, _registered(_full_name(kind), kind))


def _tuple(arguments: tuple[Any, ...], variables: Mapping[Any, Term], depth: int) -> Term:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return Instance("builtins.tuple", (_translate(arguments[0], variables, depth + 1),))
    if any(typing.get_origin(item) is typing.Unpack or getattr(item, "__unpacked__", False) for item in arguments):
        return Instance("builtins.tuple", (UNKNOWN,))
    return TupleOf(tuple(_translate(item, variables, depth + 1) for item in arguments))


def without_new_types(term: Term) -> Term:
    """The term with each `NewType` replaced by what it wraps: a value can't tell that it went through one."""
    match term:
        case Instance(name, arguments):
            kind = _classes.get(name)
            if isinstance(kind, NewType):
                return without_new_types(term_of(kind.__supertype__))
            return Instance(name, tuple(map(without_new_types, arguments))) if arguments else term
        case UnionOf(items):
            return union(list(map(without_new_types, items)))
        case TupleOf(items):
            return TupleOf(tuple(map(without_new_types, items)))
        case _:
            return term


# --- classes -----------------------------------------------------------------------------------------------------


_NAMED_IN_TYPES: Final = {getattr(types, name): f"types.{name}" for name in ("NoneType", "ModuleType", "FunctionType")}
"""Classes that say they are of `builtins`, where nobody can import them."""


def _full_name(cls: type) -> str:
    if cls in _NAMED_IN_TYPES:
        return _NAMED_IN_TYPES[cls]
    module = cls.__module__
    if module.startswith("pathlib."):  # 3.13 moved the classes to pathlib._local
        module = "pathlib"
    return f"{module}.{cls.__qualname__}"


def _registered(name: str, cls: Any) -> str:
    """The name by which facts about a class are asked for; two classes of one name get different ones."""
    if name in STANDARD:
        return name
    known = _classes.setdefault(name, cls)
    return name if known is cls else _registered(f"{name}#{id(cls)}", cls)


_facts: dict[str, ClassFacts] = {}


def _facts_about(name: str) -> ClassFacts | None:
    if name not in _facts and name in _classes:
        _facts[name] = _inspect(_classes[name])
    return _facts.get(name)


def _inspect(cls: Any) -> ClassFacts:
    if isinstance(cls, NewType):
        return ClassFacts(bases=(term_of(cls.__supertype__),), serializable=_round_trips(cls))
    if _is_opaque(cls):
        return ClassFacts(bases=None, is_protocol=True, serializable=_round_trips(cls))
    variables = getattr(cls, "__type_params__", ()) or getattr(cls, "__parameters__", ())
    stand_ins = {variable: Instance(f"~{variable.__name__}") for variable in variables}
    is_typed_dict = typing_extensions.is_typeddict(cls)
    return ClassFacts(
        bases=(_ANY_MAPPING,) if is_typed_dict else tuple(_bases(cls, stand_ins)),
        parameters=tuple(stand_ins.values()),
        # An ABC with a hook of its own tells its subclasses by their methods, and typeshed calls it a Protocol.
        is_protocol=bool(getattr(cls, "_is_protocol", False)) or "__subclasshook__" in vars(cls),
        fields=_fields(cls) if is_typed_dict else None,
        serializable=_round_trips(cls),
    )


_ANY_MAPPING: Final = Instance("collections.abc.Mapping", (Instance("builtins.str"), Instance("builtins.object")))


def _is_opaque(cls: Any) -> bool:
    """True for a class that pydantic reads as something else: `EmailStr` is `str` to a type checker and no class."""
    return (
        isinstance(cls, type)
        and any("__get_pydantic_core_schema__" in vars(base) for base in cls.__mro__)
        and not issubclass(cls, BaseModel)
    )


def _bases(cls: Any, stand_ins: Mapping[Any, Term]) -> typing.Iterator[Term]:
    for base in types.get_original_bases(cls):
        plain = typing.get_origin(base) or base
        if plain in (typing.Generic, typing.Protocol, typing_extensions.Protocol):
            continue
        if issubclass(cls, tuple) and plain in (tuple, typing.NamedTuple, typing_extensions.NamedTuple):
            items = [term_of(hint) for hint in _hints(cls).values()] if hasattr(cls, "_fields") else []
            yield Instance("builtins.tuple", (union(items),) if items else ())
        else:
            yield _translate(base, stand_ins, 0)


def _fields(cls: Any) -> tuple[tuple[str, Term, bool], ...]:
    hints = _hints(cls)
    names = sorted(cls.__required_keys__ | cls.__optional_keys__)
    return tuple((key, term_of(hints[key]) if key in hints else UNKNOWN, key in cls.__required_keys__) for key in names)


def _hints(cls: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, AttributeError, SyntaxError, TypeError):
        return {}  # names that exist for type checkers only: unknown


def _round_trips(cls: Any) -> bool | None:
    """Whether pydantic can both validate and describe a class as JSON; None if it can't tell yet."""
    if isinstance(cls, type) and issubclass(cls, Enum):
        return True
    try:
        TypeAdapter(cls).json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return False
    except Exception:  # noqa: BLE001 - a class may bring schema code of its own, which may raise anything
        return None
    return True


LIVE_TYPES: Final = TermTypes(_facts_about)
"""What live classes say of themselves."""
