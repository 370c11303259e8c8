"""Turn the annotations of live code into terms, and describe live classes."""

from __future__ import annotations

import dataclasses
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Literal,
    NewType,
    ParamSpec,
    TypeAliasType,
    TypeVar,
    TypeVarTuple,
    Union,
    cast,
)

import typing_extensions
from pydantic import (
    BaseModel,
    InstanceOf,
    PydanticSchemaGenerationError,
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
)
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.types import (
    ANY,
    NONE,
    STANDARD,
    ClassFacts,
    Instance,
    Key,
    LiteralOf,
    Term,
    TermTypes,
    TupleOf,
    UnionOf,
    customized,
    union,
)

_DEEPEST: Final = 16
"""How many levels of an annotation are read. A limit is needed because a recursive alias has no end."""


def unaliased(annotation: Any) -> Any:
    """Return the value of a `type` alias, one level deep; return anything else unchanged.

    Raises:
        NameError: If the alias uses a name that does not exist at run time. Its value is evaluated here.
    """
    if isinstance(annotation, TypeAliasType):
        return annotation.__value__
    origin = getattr(annotation, "__origin__", None)
    if not isinstance(origin, TypeAliasType) or hasattr(annotation, "__metadata__"):
        return annotation  # the origin of `Annotated[Alias, ...]` is the alias too
    value, variables = origin.__value__, origin.__type_params__
    if any(isinstance(variable, TypeVarTuple | ParamSpec) for variable in variables):
        return annotation
    # The value lists its variables in the order of first use, which may differ from the order in the alias.
    given = dict(zip(variables, annotation.__args__, strict=False))
    if isinstance(value, TypeVar):
        return given.get(value, value)
    used = getattr(value, "__parameters__", ())
    return value[tuple(given.get(variable, Any) for variable in used)] if used else value


def named_class(annotation: Any) -> tuple[type | None, tuple[Any, ...]]:
    """The class that an annotation names (through aliases and metadata) and its arguments; None if it names no class.

    Examples:
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
    """Convert an annotation to a term; `UNKNOWN` if it has none (type variables, forward references).

    Raises:
        NameError: If a `type` alias uses a name that does not exist at run time.

    Examples:
        >>> LIVE_TYPES.show(term_of(dict[str, list[int] | None]))
        'dict[str, list[int] | None]'
        >>> LIVE_TYPES.assignable(term_of(list[int]), term_of(list[str]))
        False
    """
    return _translate(annotation, {}, 0)


def _translate(annotation: Any, variables: Mapping[Any, Term], depth: int, within: tuple[Any, ...] = ()) -> Term:
    """The term of an annotation. Inside its own value an alias is unknown, so a recursive one is unrolled once."""
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
        return UNKNOWN if annotation in within else _translate(alias, variables, depth + 1, (*within, annotation))
    if hasattr(annotation, "__metadata__"):
        term = _translate(annotation.__origin__, variables, depth + 1, within)
        return customized(term) if _is_stored_otherwise(annotation) else term
    if isinstance(annotation, NewType):
        return Instance(_registered(f"{annotation.__module__}.{annotation.__name__}", annotation))
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Literal:
        return union([_literal(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return union([_translate(item, variables, depth + 1, within) for item in arguments])
    if origin is Callable:
        return Instance("collections.abc.Callable")
    if origin is tuple and annotation is not typing.Tuple:  # noqa: UP006 - bare, it is a tuple of anything
        return _tuple(arguments, variables, depth, within)
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        origin, arguments = generic["origin"], generic["args"]
    if isinstance(origin, type):
        items = tuple(_translate(item, variables, depth + 1, within) for item in arguments)
        return Instance(_registered(_full_name(origin), origin), items)
    if isinstance(annotation, type):
        return Instance(_registered(_full_name(annotation), annotation))
    return UNKNOWN


_ONLY_CHECKS: Final = cast("type", InstanceOf)


def _is_stored_otherwise(annotated: Any) -> bool:
    """Whether metadata changes how pydantic stores a type: a serializer, a validator, or a schema of its own."""
    metadata = annotated.__metadata__
    if any(isinstance(item, FieldInfo) and item.default_factory is not None for item in metadata):
        return True  # the default of a defaultdict
    if not any(hasattr(item, _HOOK) and not isinstance(item, _ONLY_CHECKS) for item in metadata):
        return False
    try:
        TypeAdapter(annotated)
    except PydanticSchemaGenerationError:
        return False  # not an answer for the whole: the types inside are checked one by one
    except Exception:  # noqa: BLE001 - code of the user's, which may raise anything
        return True
    return True


def _literal(value: object) -> Term:
    if value is None:
        return NONE
    kind = type(value)
    shown = f"{kind.__name__}.{value.name}" if isinstance(value, Enum) else repr(value)
    return LiteralOf(shown, _registered(_full_name(kind), kind))


def _tuple(arguments: tuple[Any, ...], variables: Mapping[Any, Term], depth: int, within: tuple[Any, ...]) -> Term:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return Instance("builtins.tuple", (_translate(arguments[0], variables, depth + 1, within),))
    if any(typing.get_origin(item) is typing.Unpack or getattr(item, "__unpacked__", False) for item in arguments):
        return Instance("builtins.tuple", (UNKNOWN,))
    return TupleOf(tuple(_translate(item, variables, depth + 1, within) for item in arguments))


def without_new_types(term: Term) -> Term:
    """Replace each `NewType` in a term by the type that it wraps, because values do not carry their `NewType`."""
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


_NAMED_ELSEWHERE: Final[Mapping[Any, str]] = {
    **{getattr(types, name): f"types.{name}" for name in ("NoneType", "ModuleType", "FunctionType")},
    threading.Lock: "threading.Lock",
}
"""Classes whose `__module__` is not the module that people import them from."""


def _full_name(cls: type) -> str:
    if cls in _NAMED_ELSEWHERE:
        return _NAMED_ELSEWHERE[cls]
    module = cls.__module__
    if module.startswith("pathlib."):  # 3.13 moved the classes to pathlib._local
        module = "pathlib"
    return f"{module}.{cls.__qualname__}"


def _registered(name: str, cls: Any) -> str:
    """Register a class and return the key of its facts. Two classes with the same full name get different keys."""
    if name in STANDARD:
        return name
    known = _classes.setdefault(name, cls)
    return name if known is cls else _registered(f"{name}#{id(cls)}", cls)


_facts: dict[str, ClassFacts] = {}


def _facts_about(name: str) -> ClassFacts | None:
    known = _facts.get(name)
    if known is None and name in _classes:
        try:
            known = _inspect(_classes[name])
        except Exception:  # noqa: BLE001 - a metaclass or a schema of the user's may raise anything
            known = ClassFacts(bases=None, is_protocol=True)
        if known.incomplete is None:  # otherwise a missing name may still be defined before the class is used
            _facts[name] = known
    return known


def _inspect(cls: Any) -> ClassFacts:
    if isinstance(cls, NewType):
        serializable, _ = _round_trips(cls)
        base = term_of(cls.__supertype__)
        return ClassFacts(bases=(base,), serializable=serializable, parts=(base,))
    serializable, is_complete = _round_trips(cls)
    if _is_opaque(cls):
        return ClassFacts(bases=None, is_protocol=True, serializable=serializable)
    variables = getattr(cls, "__type_params__", ()) or getattr(cls, "__parameters__", ())
    stand_ins = {variable: Instance(f"~{variable.__name__}") for variable in variables}
    is_typed_dict = typing_extensions.is_typeddict(cls)
    return ClassFacts(
        bases=(_ANY_MAPPING,) if is_typed_dict else tuple(_bases(cls, stand_ins)),
        parameters=tuple(stand_ins.values()),
        # An ABC with its own `__subclasshook__` recognizes subclasses by their methods; to typeshed it is a Protocol.
        is_protocol=bool(getattr(cls, "_is_protocol", False)) or "__subclasshook__" in vars(cls),
        keys=_keys(cls) if is_typed_dict else None,
        serializable=serializable,
        parts=tuple(_parts(cls)),
        incomplete=None if is_complete else _why_incomplete(cls),
    )


_ANY_MAPPING: Final = Instance("collections.abc.Mapping", (Instance("builtins.str"), Instance("builtins.object")))


def _is_opaque(cls: Any) -> bool:
    """True for a class that pydantic reads as another type: to a type checker, `EmailStr` is just `str`."""
    return isinstance(cls, type) and any(_HOOK in vars(base) for base in cls.__mro__) and not issubclass(cls, BaseModel)


def _bases(cls: Any, stand_ins: Mapping[Any, Term]) -> Iterator[Term]:
    for base in types.get_original_bases(cls):
        plain = typing.get_origin(base) or base
        if plain in (typing.Generic, typing.Protocol, typing_extensions.Protocol):
            continue
        if issubclass(cls, tuple) and plain in (tuple, typing.NamedTuple, typing_extensions.NamedTuple):
            items = [term_of(hint) for hint in _hints(cls).values()] if hasattr(cls, "_fields") else []
            yield Instance("builtins.tuple", (union(items),) if items else ())
        else:
            yield _translate(base, stand_ins, 0)


# --- fields ------------------------------------------------------------------------------------------------------


def _hints(cls: Any, *, include_extras: bool = False) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=include_extras)
    except Exception:  # noqa: BLE001 - names for type checkers only, or anything else that an annotation may raise
        return {}


def _keys(cls: Any) -> tuple[Key, ...]:
    hints = _hints(cls, include_extras=True)
    totals = _totals(cls)
    found: list[Key] = []
    for name in sorted(totals):
        is_required, is_read_only, annotation = totals[name], False, hints.get(name)
        while annotation is not None:
            form = typing.get_origin(annotation)
            if form in (typing.Required, typing.NotRequired):
                is_required = form is typing.Required
            elif form is typing_extensions.ReadOnly:
                is_read_only = True
            elif form is not Annotated:
                break
            annotation = typing.get_args(annotation)[0]
        term = UNKNOWN if annotation is None else _translate(annotation, {}, 0)
        found.append(Key(name, term, is_required, is_read_only))
    return tuple(found)


def _totals(cls: Any) -> dict[str, bool]:
    """The keys of a TypedDict, each with whether it is required where its annotation does not say so.

    Python's own `__required_keys__` takes no notice of `NotRequired` in an annotation that is written as text.
    """
    found: dict[str, bool] = {}
    for base in types.get_original_bases(cls):
        base = typing.get_origin(base) or base
        if typing_extensions.is_typeddict(base):
            found |= _totals(base)
    own = getattr(cls, "__annotations__", {})
    return found | {name: bool(cls.__total__) for name in own if name not in found}


def _parts(cls: Any) -> Iterator[Term]:
    """The types of the fields that pydantic stores field by field, the same way as it stores those types anywhere."""
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        if _stores_by_itself(cls):
            return
        for field in cls.model_fields.values():
            if not field.exclude:
                annotation: Any = field.annotation
                yield term_of(Annotated[annotation, *field.metadata] if field.metadata else annotation)
    elif dataclasses.is_dataclass(cls) or typing_extensions.is_typeddict(cls) or hasattr(cls, "_fields"):
        if _stores_by_itself(cls):
            return
        for hint in _hints(cls, include_extras=True).values():
            yield term_of(hint)


def _stores_by_itself(cls: Any) -> bool:
    """Whether a model or dataclass has serializers or early validators: then the types of its fields prove nothing."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    if decorators is not None:
        validators = (*decorators.field_validators.values(), *decorators.model_validators.values())
        if decorators.field_serializers or decorators.model_serializers or decorators.validators:
            return True
        if decorators.root_validators or any(item.info.mode != "after" for item in validators):
            return True
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None)
    return bool(config and config.get("json_encoders"))


# --- what pydantic says ------------------------------------------------------------------------------------------

_SECRETS: Final = frozenset[type]({SecretStr, SecretBytes, Secret})
_HOOK: Final = "__get_pydantic_core_schema__"


def _round_trips(cls: Any) -> tuple[bool | None, bool]:
    """Whether pydantic can validate and serialize a class as JSON (None: unknown), and whether it is complete."""
    if isinstance(cls, type) and issubclass(cls, Enum):
        return True, True
    if isinstance(cls, type) and not _SECRETS.isdisjoint(cls.__mro__) and _HOOK not in vars(cls):
        return False, True  # written as asterisks
    try:
        TypeAdapter(cls).json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return False, True
    except PydanticUndefinedAnnotation:
        return None, False
    except PydanticUserError as error:
        return None, error.code != "class-not-fully-defined"
    except Exception:  # noqa: BLE001 - a class may bring schema code of its own, which may raise anything
        return None, True
    return True, True


def _why_incomplete(cls: Any) -> str | None:
    """The undefined name in an annotation of a class; None if the undefined name is in the class of a field."""
    computed = getattr(getattr(cls, "__pydantic_decorators__", None), "computed_fields", {})
    properties = [getattr(item.info.wrapped_property, "fget", None) for item in computed.values()]
    for annotated in (cls, *properties):
        try:
            typing.get_type_hints(annotated)
        except Exception as error:  # noqa: BLE001 - an annotation may raise anything
            return str(error)
    return None


LIVE_TYPES: Final = TermTypes(_facts_about)
"""Answers questions about types from live classes."""
