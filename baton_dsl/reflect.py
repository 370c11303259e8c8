"""The front end for live functions: what their signatures say, as a `FlowSpec`, and their annotations as terms."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from inspect import isasyncgenfunction, isgeneratorfunction
from types import FunctionType, UnionType
from typing import Annotated, Any, Final, ForwardRef, Literal, Union, cast
from weakref import WeakKeyDictionary

from baton_dsl.annotations import LIVE_TYPES, named_class, term_of, unaliased, without_new_types
from baton_dsl.context import Skip, StepContext
from baton_dsl.core.connections import access_of
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import missing_annotation
from baton_dsl.core.rules.map_option import MAP_OPTIONS
from baton_dsl.core.spec import (
    MISSING,
    NO_OPTIONS,
    NOTHING,
    UNKNOWN,
    Access,
    Argument,
    FlowSpec,
    Form,
    Option,
    ParameterSpec,
    Reference,
    Role,
    StepSpec,
)
from baton_dsl.core.types import ANY, Instance, LiteralOf, Term
from baton_dsl.errors import FlowError
from baton_dsl.places import DefinitionPlaces
from baton_dsl.step import EachMarker, Entry, FromMarker, InputMarker, Step

__all__ = ["LIVE_TYPES", "Signature", "argument_of", "flow_spec", "signature", "term_of"]

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
        annotations: Each parameter's annotation without our markers, as pydantic takes it: of one item for `Each`.
        defaults: The defaults of inputs.
        result: The return annotation as a term, without `Skip`.
        returns: The return annotation without `Skip`, as pydantic takes it; `inspect.Signature.empty` if there is none.
        may_skip: Whether the return annotation has `Skip` among its types.
        unimportable: Why a worker can't import the function by name, or None when it can.
    """

    parameters: tuple[ParameterSpec, ...]
    annotations: Mapping[str, Any]
    defaults: Mapping[str, Any]
    result: Term
    returns: Any
    may_skip: bool
    unimportable: str | None

    @property
    def levels(self) -> int:
        """How many lists deep others see its results; see `StepSpec.levels`."""
        return max((parameter.each for parameter in self.parameters), default=0)


_signatures: WeakKeyDictionary[FunctionType, Signature] = WeakKeyDictionary()


def signature(step: Step[..., Any, Any, Any]) -> Signature:
    """The signature of a step's function, read once.

    Raises:
        FlowError: BTN204, if an annotation can't be evaluated.
    """
    function = cast("FunctionType", step.function)
    found = _signatures.get(function)
    if found is None:
        try:
            found = _signatures[function] = _read(function)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            finding = missing_annotation.finding(
                f'an annotation of step "{function.__name__}" can\'t be evaluated: {error}',
                help="import the name at run time, not only under TYPE_CHECKING: results are validated with it",
                step=function.__name__,
                place=DefinitionPlaces.of(function).name,
            )
            raise FlowError([finding]) from error
    return found


def _read(function: FunctionType) -> Signature:
    hints = _annotations(function)
    parameters: list[ParameterSpec] = []
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, form, default in _bare_parameters(function):
        peeled = _peel(hints[name]) if name in hints else _NOT_ANNOTATED
        marker = default if isinstance(default, FromMarker) else peeled.marker
        has_default = default is not _NO_DEFAULT and not isinstance(default, FromMarker)
        term: Term = MISSING if peeled is _NOT_ANNOTATED else term_of(peeled.annotation)
        source: str | None = None
        access: Access | None = None
        if form in (Form.STAR_ARGS, Form.STAR_KWARGS):
            role = Role.UNKNOWN
        elif isinstance(marker, FromMarker):
            role, source = Role.UPSTREAM, marker.source
        elif isinstance(marker, InputMarker):
            role, term = Role.INPUT, without_new_types(term)
            if has_default:
                defaults[name] = default
        elif term == _CONTEXT or (access := _access(peeled.annotation)) is not None:
            role, term = Role.INJECTED, UNKNOWN
        else:
            role, source = Role.UPSTREAM, name
        if peeled is not _NOT_ANNOTATED:
            annotations[name] = peeled.annotation
        parameters.append(
            ParameterSpec(
                name=name,
                role=role,
                type=term,
                source=source,
                each=peeled.each if role in (Role.UPSTREAM, Role.INPUT) else 0,
                access=access,
                form=form,
                has_default=has_default,
            )
        )
    returns, may_skip = _without_skip(hints.get("return", inspect.Signature.empty))
    result: Term = MISSING if returns is inspect.Signature.empty else term_of(returns)
    return Signature(tuple(parameters), annotations, defaults, result, returns, may_skip, unimportable(function))


_CONTEXT: Final = term_of(StepContext)


def _access(annotation: Any) -> Access | None:
    """How the class that an annotation names works with the database, if it is one of connections or sessions."""
    cls, _ = named_class(annotation)
    if cls is None or cls.__module__ == "builtins":
        return None
    name, *bases = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
    return access_of(name, bases)


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
    hints = function.__annotations__
    if any(map(_is_written_as_text, hints.values())):
        hints = typing.get_type_hints(function, include_extras=True)
    return {name: type(None) if hint is None else hint for name, hint in hints.items()}


def _is_written_as_text(annotation: Any) -> bool:
    """Whether an annotation is a string or has one inside: `list["Token"]`."""
    if isinstance(annotation, str | ForwardRef):
        return True
    if typing.get_origin(annotation) is Literal:
        return False
    return any(map(_is_written_as_text, getattr(annotation, "__args__", None) or ()))


@dataclass(frozen=True, slots=True)
class _Peeled:
    annotation: Any
    marker: InputMarker | FromMarker | None
    each: int


_NOT_ANNOTATED: Final = _Peeled(None, None, 0)
_MARKERS: Final = (InputMarker, FromMarker, EachMarker)


def _peel(annotation: Any) -> _Peeled:
    """An annotation without the markers around it, through aliases of aliases."""
    marker: InputMarker | FromMarker | None = None
    each = 0
    extras: tuple[Any, ...] = ()
    while True:
        alias = unaliased(annotation)
        if alias is not annotation:
            if not _is_marked(alias):
                break  # a user's own alias: pydantic knows it by name
            annotation = alias
            continue
        metadata = getattr(annotation, "__metadata__", None)
        if metadata is None:
            break
        marks = [item for item in metadata if isinstance(item, InputMarker | FromMarker)]
        extras = (*(item for item in metadata if not isinstance(item, _MARKERS)), *extras)
        marker = marks[0] if marks else marker
        each += sum(isinstance(item, EachMarker) for item in metadata)
        annotation = annotation.__origin__
    if extras:
        annotation = Annotated[annotation, *extras]
    return _Peeled(annotation, marker, each)


def _is_marked(annotation: Any) -> bool:
    for _ in range(16):
        if any(isinstance(item, _MARKERS) for item in getattr(annotation, "__metadata__", ())):
            return True
        inner = unaliased(annotation)
        if inner is annotation:
            inner = getattr(annotation, "__origin__", None) if hasattr(annotation, "__metadata__") else annotation
        if inner is annotation:
            return False
        annotation = inner
    return False


def _without_skip(returns: Any, depth: int = 0) -> tuple[Any, bool]:
    """A return annotation without `Skip`, and whether it was there: None if it says nothing else."""
    if returns is Skip:
        return type(None), True
    if depth > 16:  # an alias of itself
        return returns, False
    alias = unaliased(returns)
    if alias is not returns:
        rest, may_skip = _without_skip(alias, depth + 1)
        return (rest if may_skip else returns), may_skip
    if hasattr(returns, "__metadata__"):
        rest, may_skip = _without_skip(returns.__origin__, depth + 1)
        return (Annotated[rest, *returns.__metadata__] if may_skip else returns), may_skip
    if typing.get_origin(returns) in (Union, UnionType):
        items = typing.get_args(returns)
        parts = [_without_skip(item, depth + 1) for item in items]
        if any(may_skip for _, may_skip in parts):
            rest = tuple(part for item, (part, _) in zip(items, parts, strict=True) if item is not Skip)
            return Union[rest], True  # noqa: UP007 - the types are known at run time only
    return returns, False


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

    Raises:
        FlowError: BTN204, with a finding for each function that has an annotation which can't be evaluated.
    """
    steps: list[StepSpec] = []
    unreadable: dict[Diagnostic, None] = {}  # two steps may share a function
    for entry in entries:
        try:
            steps.append(_step_spec(entry, places=places))
        except FlowError as error:
            unreadable.update(dict.fromkeys(finding.in_flow(name) for finding in error.diagnostics))
    if unreadable:
        raise FlowError(list(unreadable))
    return FlowSpec(
        name=name,
        steps=tuple(steps),
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
    cancelled, discarded = entry.ignore_cancelled, entry.ignore_discarded
    spec = StepSpec(
        name=entry.name,
        parameters=read.parameters,
        result=read.result,
        may_skip=read.may_skip,
        after=tuple(map(Reference, options["after"])) if "after" in options else (),
        deps=tuple(map(Reference, entry.deps)) if entry.deps else (),
        ignore_cancelled=options.get("ignore_cancelled") if cancelled is None else cancelled,
        ignore_discarded=options.get("ignore_discarded") if discarded is None else discarded,
        options=_map_options(options) if options else NO_OPTIONS,
        bound={key: argument_of(value) for key, value in step.bound.items()} if step.bound else NOTHING,
        is_async=step.is_async,
        unimportable=read.unimportable,
        is_generator=isgeneratorfunction(step.function) or isasyncgenfunction(step.function),
    )
    return _locate(_locate_entry(spec, entry), step) if places else spec


def _map_options(options: Mapping[str, Any]) -> Mapping[str, Option]:
    """The options that say something only together with the signature; each by itself was checked by `step`."""
    return {name: Option(value=options[name]) for name in MAP_OPTIONS if name in options}


_SCALARS: Final = (str, int, float, bytes, type(None))
_SCALAR_TERMS: Final[Mapping[type, Instance]] = {
    scalar: cast("Instance", term_of(scalar)) for scalar in (*_SCALARS, bool)
}
_LONGEST_LITERAL: Final = 200
"""Characters, or bits, of a value that is compared to a `Literal`: nobody writes a longer one."""


def argument_of(value: object) -> Argument:
    """What can be said of a value's type without looking inside: containers and models are pydantic's to check."""
    term = _SCALAR_TERMS.get(type(value))
    if term is None:
        if isinstance(value, Enum) or not isinstance(value, _SCALARS):
            return Argument()
        term = cast("Instance", term_of(type(value)))
    match value:
        case None | float():
            return Argument(type=term)
        case int() if value.bit_length() > _LONGEST_LITERAL:
            return Argument(type=term)
        case str() | bytes() if len(value) > _LONGEST_LITERAL:
            return Argument(type=term)
        case _:
            return Argument(type=term, literal=LiteralOf(repr(value), term.name))


def unimportable(function: FunctionType) -> str | None:
    """Why a worker can't import a function by its name; None if it can."""
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
    return spec._replace(
        argument_place=entry.site.argument(entry.position),
        deps=tuple(Reference(name, places.get(name) or entry.site.keyword("deps")) for name in entry.deps),
    )


def _locate(spec: StepSpec, step: Step[..., Any, Any, Any]) -> StepSpec:
    places = DefinitionPlaces.of(cast("FunctionType", step.function))
    parameters = places.parameters or {}
    after = places.after or {}
    options = places.options or {}
    site = step.bind_site
    return spec._replace(
        place=places.name,
        return_place=places.result,
        parameters=tuple(replace(item, place=parameters.get(item.name)) for item in spec.parameters),
        after=tuple(Reference(item.name, after.get(item.name)) for item in spec.after),
        options={name: option._replace(place=options.get(name)) for name, option in spec.options.items()},
        bound={key: item._replace(place=site.keyword(key) if site else None) for key, item in spec.bound.items()},
        bind_place=site.place() if site else None,
    )
