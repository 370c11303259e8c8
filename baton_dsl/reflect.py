"""The front end for live functions: what their signatures say, as a `FlowSpec`, and their annotations as terms."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import FunctionType
from typing import Annotated, Any, Final, ForwardRef, Literal, NewType, TypeAliasType, TypeVar, Union, cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from baton_dsl.context import StepContext
from baton_dsl.core.rules import missing_annotation
from baton_dsl.core.spec import (
    MISSING,
    NOTHING,
    UNKNOWN,
    Argument,
    FlowSpec,
    Form,
    ParameterSpec,
    Reference,
    Role,
    StepSpec,
)
from baton_dsl.core.types import ANY, NONE, STANDARD, ClassFacts, Instance, LiteralOf, Term, TermTypes, TupleOf, union
from baton_dsl.errors import FlowError
from baton_dsl.places import DefinitionPlaces
from baton_dsl.step import Entry, FromMarker, InputMarker, Step

# --- signatures --------------------------------------------------------------------------------------------------

_FORMS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: Form.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: Form.KEYWORD,
    inspect.Parameter.KEYWORD_ONLY: Form.KEYWORD,
    inspect.Parameter.VAR_POSITIONAL: Form.STAR_ARGS,
    inspect.Parameter.VAR_KEYWORD: Form.STAR_KWARGS,
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function says of itself.

    Attributes:
        parameters: Its parameters as specs, without places.
        annotations: Each parameter's annotation without our markers, as pydantic takes it.
        defaults: The defaults of inputs.
        result: The return annotation as a term.
        returns: The return annotation as pydantic takes it; `inspect.Signature.empty` if there is none.
    """

    parameters: tuple[ParameterSpec, ...]
    annotations: Mapping[str, Any]
    defaults: Mapping[str, Any]
    result: Term
    returns: Any


_signatures: dict[FunctionType, Signature] = {}


def signature(step: Step[..., Any, Any, Any]) -> Signature:
    """The signature of a step's function, read once.

    Raises:
        FlowError: BTN204, if an annotation can't be evaluated.
    """
    function = cast("FunctionType", step.function)
    found = _signatures.get(function)
    if found is None:
        found = _signatures[function] = _read(function)
    return found


def _read(function: FunctionType) -> Signature:
    hints = _annotations(function)
    parameters: list[ParameterSpec] = []
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, form, default in _bare_parameters(function):
        if name not in hints:
            role = Role.UPSTREAM
            parameters.append(
                ParameterSpec(
                    name=name, role=role, type=MISSING, source=name, form=form, has_default=default is not _NO_DEFAULT
                )
            )
            continue
        peeled = _peel(hints[name])
        annotations[name] = peeled.annotation
        marker = default if isinstance(default, FromMarker) else peeled.marker
        has_default = default is not _NO_DEFAULT and not isinstance(default, FromMarker)
        source: str | None = None
        if form in (Form.STAR_ARGS, Form.STAR_KWARGS):
            role = Role.UNKNOWN
        elif isinstance(marker, FromMarker):
            role, source = Role.UPSTREAM, marker.source
        elif isinstance(marker, InputMarker):
            role = Role.INPUT
            if has_default:
                defaults[name] = default
        elif peeled.annotation is StepContext:
            role = Role.INJECTED
        else:
            role, source = Role.UPSTREAM, name
        term: Term = UNKNOWN if role is Role.INJECTED else term_of(peeled.annotation)
        parameters.append(
            ParameterSpec(name=name, role=role, type=term, source=source, form=form, has_default=has_default)
        )
    returns = hints.get("return", inspect.Signature.empty)
    result: Term = MISSING if returns is inspect.Signature.empty else term_of(returns)
    return Signature(tuple(parameters), annotations, defaults, result, returns)


_NO_DEFAULT: Final = object()


def _bare_parameters(function: FunctionType) -> Iterable[tuple[str, Form, object]]:
    """Name, form and default of each parameter; `inspect.signature` only for what the code object doesn't show."""
    code = function.__code__
    if code.co_posonlyargcount or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        for parameter in inspect.signature(function).parameters.values():
            empty = parameter.default is inspect.Parameter.empty
            yield parameter.name, _FORMS[parameter.kind], _NO_DEFAULT if empty else parameter.default
        return
    count = code.co_argcount
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    positional = function.__defaults__ or ()
    by_keyword = function.__kwdefaults__ or {}
    for index, name in enumerate(names):
        if index < count:
            behind = index - (count - len(positional))
            yield name, Form.KEYWORD, positional[behind] if behind >= 0 else _NO_DEFAULT
        else:
            yield name, Form.KEYWORD, by_keyword.get(name, _NO_DEFAULT)


def _annotations(function: FunctionType) -> Mapping[str, Any]:
    try:
        hints = function.__annotations__
        if any(isinstance(hint, str) for hint in hints.values()):
            hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise FlowError(
            [
                missing_annotation.finding(
                    f'an annotation of step "{function.__name__}" can\'t be evaluated: {error}',
                    help="import the name at run time, not only under TYPE_CHECKING: results are validated with it",
                    step=function.__name__,
                    place=DefinitionPlaces.of(function).name,
                )
            ]
        ) from error
    return {name: type(None) if hint is None else hint for name, hint in hints.items()}


@dataclass(frozen=True, slots=True)
class _Peeled:
    annotation: Any
    marker: InputMarker | FromMarker | None


def _peel(annotation: Any) -> _Peeled:
    """An annotation without the markers around it, through aliases of aliases."""
    marker: InputMarker | FromMarker | None = None
    extras: tuple[Any, ...] = ()
    while True:
        alias = _unaliased(annotation)
        if alias is not annotation:
            if marker is None and not _is_marked(alias):
                break  # a user's own alias: pydantic knows it by name
            annotation = alias
            continue
        metadata = getattr(annotation, "__metadata__", None)
        if metadata is None:
            break
        marks = [item for item in metadata if isinstance(item, InputMarker | FromMarker)]
        extras = (*(item for item in metadata if not isinstance(item, InputMarker | FromMarker)), *extras)
        marker = marks[0] if marks else marker
        annotation = annotation.__origin__
    if extras:
        annotation = Annotated[annotation, *extras]
    return _Peeled(annotation, marker)


def _is_marked(annotation: Any) -> bool:
    for _ in range(16):
        if any(isinstance(item, InputMarker | FromMarker) for item in getattr(annotation, "__metadata__", ())):
            return True
        inner = _unaliased(annotation)
        if inner is annotation:
            inner = getattr(annotation, "__origin__", None) if hasattr(annotation, "__metadata__") else annotation
        if inner is annotation:
            return False
        annotation = inner
    return False


def _unaliased(annotation: Any) -> Any:
    """What a `type` alias stands for, one level; anything else unchanged."""
    if isinstance(annotation, TypeAliasType):
        return annotation.__value__
    origin = getattr(annotation, "__origin__", None)
    if isinstance(origin, TypeAliasType):
        return origin.__value__[annotation.__args__]
    return annotation


# --- annotations as terms ----------------------------------------------------------------------------------------

_terms: dict[Any, Term] = {}
_classes: dict[str, Any] = {}


def term_of(annotation: Any) -> Term:
    """An annotation as a term; `UNKNOWN` for what has none (type variables, forward references)."""
    try:
        found = _terms.get(annotation)
    except TypeError:  # unhashable metadata
        return _translate(annotation, {}, 0)
    if found is None:
        found = _terms[annotation] = _translate(annotation, {}, 0)
    return found


def _translate(annotation: Any, variables: Mapping[Any, Term], depth: int) -> Term:
    if depth > 16:  # a recursive alias
        return UNKNOWN
    if annotation is None or annotation is type(None):
        return NONE
    if annotation is Any:
        return ANY
    if annotation in variables:
        return variables[annotation]
    if isinstance(annotation, str | ForwardRef | TypeVar):
        return UNKNOWN
    alias = _unaliased(annotation)
    if alias is not annotation:
        return _translate(alias, variables, depth + 1)
    if hasattr(annotation, "__metadata__"):
        return _translate(annotation.__origin__, variables, depth + 1)
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Literal:
        return union([LiteralOf(repr(value), _full_name(type(value))) for value in arguments])
    if origin in (Union, types.UnionType):
        return union([_translate(item, variables, depth + 1) for item in arguments])
    if origin is Callable:
        return Instance("collections.abc.Callable")
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return Instance("builtins.tuple", (_translate(arguments[0], variables, depth + 1),))
        return TupleOf(tuple(_translate(item, variables, depth + 1) for item in arguments))
    if isinstance(annotation, NewType):
        return Instance(_registered(f"{annotation.__module__}.{annotation.__name__}", annotation))
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        origin, arguments = generic["origin"], generic["args"]
    if isinstance(origin, type):
        items = tuple(_translate(item, variables, depth + 1) for item in arguments)
        return Instance(_registered(_full_name(origin), origin), items)
    if isinstance(annotation, type):
        return Instance(_registered(_full_name(annotation), annotation))
    return UNKNOWN


def _full_name(cls: type) -> str:
    module = cls.__module__
    if module.startswith("pathlib."):  # 3.13 moved the classes to pathlib._local
        module = "pathlib"
    if module == "builtins" and cls is type(None):
        module = "types"
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
        base = term_of(cls.__supertype__)
        return ClassFacts(bases=(base,), serializable=_round_trips(cls))
    variables = getattr(cls, "__type_params__", ()) or getattr(cls, "__parameters__", ())
    stand_ins = {variable: Instance(f"~{variable.__name__}") for variable in variables}
    fields: tuple[tuple[str, Term, bool], ...] | None = None
    bases: list[Term] = []
    if typing.is_typeddict(cls):
        hints = typing.get_type_hints(cls)
        fields = tuple((key, term_of(hint), key in cls.__required_keys__) for key, hint in hints.items())
        bases.append(Instance("collections.abc.Mapping", (Instance("builtins.str"), Instance("builtins.object"))))
    else:
        for base in types.get_original_bases(cls):
            if typing.get_origin(base) in (typing.Generic, typing.Protocol) or base in (
                typing.Generic,
                typing.Protocol,
            ):
                continue
            if issubclass(cls, tuple) and base in (tuple, typing.NamedTuple):
                items = (
                    [term_of(hint) for hint in typing.get_type_hints(cls).values()] if hasattr(cls, "_fields") else []
                )
                bases.append(Instance("builtins.tuple", (union(items),) if items else ()))
                continue
            bases.append(_translate(base, stand_ins, 0))
    return ClassFacts(
        bases=tuple(bases),
        parameters=tuple(stand_ins.values()),
        is_protocol=bool(getattr(cls, "_is_protocol", False)),
        fields=fields,
        serializable=_round_trips(cls),
    )


def _round_trips(cls: Any) -> bool | None:
    """Whether pydantic can both validate and describe a class as JSON; None if it can't tell yet."""
    if isinstance(cls, type) and issubclass(cls, Enum):
        return True
    try:
        TypeAdapter(cls).json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return False
    except (PydanticUserError, NameError, TypeError, RecursionError):
        return None
    return True


LIVE_TYPES: Final = TermTypes(_facts_about)
"""What live classes say of themselves."""


# --- specs -------------------------------------------------------------------------------------------------------


def flow_spec(
    name: str, entries: Iterable[Entry], *, ignore_cancelled: bool, ignore_discarded: bool, places: bool = False
) -> FlowSpec:
    """A flow of live steps as plain values.

    Args:
        name: The flow's name.
        entries: Its steps and jobs.
        ignore_cancelled: The flow's option.
        ignore_discarded: The flow's option.
        places: Whether to look up where everything stands: slow, so only once there is something to report.
    """
    return FlowSpec(
        name=name,
        steps=tuple(_step_spec(entry, places=places) for entry in entries),
        ignore_cancelled=ignore_cancelled,
        ignore_discarded=ignore_discarded,
    )


def _step_spec(entry: Entry, *, places: bool) -> StepSpec:
    step = entry.step
    if not isinstance(step, Step):
        spec = StepSpec(
            name=entry.name,
            result=ANY,
            deps=tuple(map(Reference, entry.deps)),
            ignore_cancelled=entry.ignore_cancelled,
            ignore_discarded=entry.ignore_discarded,
            is_job=True,
        )
        return _locate_entry(spec, entry) if places else spec
    read = signature(step)
    options = step.options
    spec = StepSpec(
        name=entry.name,
        parameters=read.parameters,
        result=read.result,
        after=tuple(map(Reference, options.get("after", ()))),
        deps=tuple(map(Reference, entry.deps)),
        ignore_cancelled=_first_set(entry.ignore_cancelled, options.get("ignore_cancelled")),
        ignore_discarded=_first_set(entry.ignore_discarded, options.get("ignore_discarded")),
        bound={key: argument_of(value) for key, value in step.bound.items()} if step.bound else NOTHING,
        unimportable=_unimportable(step),
    )
    return _locate(_locate_entry(spec, entry), step) if places else spec


def _first_set(*flags: bool | None) -> bool | None:
    return next((flag for flag in flags if flag is not None), None)


def argument_of(value: object) -> Argument:
    """What can be said of a value's type without looking inside: containers and models are pydantic's to check."""
    if isinstance(value, Enum) or not isinstance(value, str | int | float | bytes | None):
        return Argument()
    term = term_of(type(value))
    literal = LiteralOf(repr(value), _full_name(type(value))) if isinstance(value, str | int | bytes) else None
    return Argument(type=term, literal=literal)


def _unimportable(step: Step[..., Any, Any, Any]) -> str | None:
    function = cast("FunctionType", step.function)
    if function.__name__ == "<lambda>":
        return "a lambda"
    if "<locals>" in function.__qualname__:
        return "a function inside a function"
    if "." in function.__qualname__ and function.__code__.co_varnames[:1] in (("self",), ("cls",)):
        return "a method"
    return None


def _locate_entry(spec: StepSpec, entry: Entry) -> StepSpec:
    if entry.site is None:
        return spec
    places = entry.site.items("deps") if entry.deps else {}
    return replace(
        spec,
        argument_place=entry.site.argument(entry.position),
        deps=tuple(Reference(name, places.get(name) or entry.site.keyword("deps")) for name in entry.deps),
    )


def _locate(spec: StepSpec, step: Step[..., Any, Any, Any]) -> StepSpec:
    places = DefinitionPlaces.of(cast("FunctionType", step.function))
    parameters = places.parameters or {}
    after = places.after or {}
    site = step.bind_site
    return replace(
        spec,
        place=places.name,
        return_place=places.result,
        parameters=tuple(replace(item, place=parameters.get(item.name)) for item in spec.parameters),
        after=tuple(Reference(item.name, after.get(item.name)) for item in spec.after),
        bound={key: replace(item, place=site.keyword(key) if site else None) for key, item in spec.bound.items()},
        bind_place=site.place() if site else None,
    )
