"""The front end for live functions: turn their signatures into a `FlowSpec`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Any, Final, NamedTuple, cast
from weakref import WeakKeyDictionary

from pydantic import PydanticSchemaGenerationError

from baton_dsl.annotations import LIVE_TYPES, named_class, term_of, without_new_types
from baton_dsl.context import StepContext
from baton_dsl.core import roles
from baton_dsl.core.connections import access_of
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
    Ignores,
    Option,
    ParameterSpec,
    Reference,
    StepSpec,
)
from baton_dsl.core.types import ANY, Instance, LiteralOf, Term
from baton_dsl.errors import FlowError
from baton_dsl.hints import evaluated, reason_of
from baton_dsl.peeling import Peeled, peel, without_skip
from baton_dsl.places import DefinitionPlaces
from baton_dsl.step import Entry, FromMarker, InputMarker, Step

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
    """The signature of a function, as far as it matters to a step.

    Attributes:
        parameters: Its parameters as specs, without places.
        annotations: Each parameter's annotation without our markers, for pydantic; with `Each`, that of one item.
        defaults: The defaults of inputs.
        result: The return annotation as a term, without `Skip`.
        returns: The return annotation without `Skip`, for pydantic; `inspect.Signature.empty` if there is none.
        may_skip: Whether the return annotation has `Skip` among its types.
        unimportable: Why a worker can't import the function by name; None if it can.
        unevaluable: Why the return annotation can't be evaluated; None if it can.
        is_whole: True if every annotation could be evaluated.
    """

    parameters: tuple[ParameterSpec, ...]
    annotations: Mapping[str, Any]
    defaults: Mapping[str, Any]
    result: Term
    returns: Any
    may_skip: bool
    unimportable: str | None
    unevaluable: str | None
    is_whole: bool

    @property
    def levels(self) -> int:
        """How many lists wrap its results for downstream steps; see `StepSpec.levels`."""
        return max((parameter.each for parameter in self.parameters), default=0)


_signatures: WeakKeyDictionary[FunctionType, Signature] = WeakKeyDictionary()


def signature(step: Step[..., Any, Any, Any]) -> Signature:
    """The signature of a step's function, read once.

    Raises:
        FlowError: BTN204, if an annotation can't be evaluated.
    """
    if step.signature_read is not None and step.signature_read[0] is step.function:
        known: Signature = step.signature_read[1]
        return known
    found = _signature(cast("FunctionType", step.function))
    if found.is_whole:
        step.signature_read = step.function, found
    else:
        findings = list(missing_annotation.unevaluable(_step_spec(Entry(step.name, step), places=True)))
        if findings:  # otherwise another rule reports types that can't be stored
            raise FlowError(findings)
    return found


def _signature(function: FunctionType) -> Signature:
    found = _signatures.get(function)
    if found is None:
        found = _read(function)
        if found.is_whole:  # otherwise a missing name may still be defined before the step is used
            _signatures[function] = found
    return found


class _Annotation(NamedTuple):
    """One parsed annotation.

    Attributes:
        peeled: The annotation without our markers.
        term: The same as a term.
        access: Sync or async, for a connection or a session.
        unevaluable: Why it can't be evaluated; None if it can. If not, the other attributes contain what is known.
    """

    peeled: Peeled
    term: Term
    access: Access | None = None
    unevaluable: str | None = None


class _Returned(NamedTuple):
    """A parsed return annotation: without `Skip`, and whether it had `Skip`."""

    annotation: Any = inspect.Signature.empty
    term: Term = MISSING
    may_skip: bool = False
    unevaluable: str | None = None


def _read(function: FunctionType) -> Signature:
    hints, failed = evaluated(function)
    parameters: list[ParameterSpec] = []
    annotations: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    bare = _bare_parameters(function)
    if roles.is_method(function.__qualname__, _first_parameter(function)):
        next(bare)  # skip `self`, which nothing passes
    is_whole = not failed
    for name, form, default in bare:
        read = _annotation(hints[name], failed.get(name)) if name in hints else _NOT_ANNOTATED
        peeled, term, access, unevaluable = read
        is_whole = is_whole and unevaluable is None
        marker = default if isinstance(default, FromMarker) else peeled.marker
        parameter = roles.parameter(
            name,
            without_new_types(term) if isinstance(marker, InputMarker) else term,
            form=form,
            is_from=isinstance(marker, FromMarker),
            source=marker.source if isinstance(marker, FromMarker) else None,
            is_input=isinstance(marker, InputMarker),
            is_context=term == _CONTEXT,
            access=access,
            each=peeled.each,
            has_default=default is not _NO_DEFAULT and not isinstance(default, FromMarker),
            unevaluable=unevaluable,
        )
        if read is not _NOT_ANNOTATED:
            annotations[name] = peeled.annotation
        if parameter.is_input and parameter.has_default:
            defaults[name] = default
        parameters.append(parameter)
    returned = _Returned() if "return" not in hints else _returned(hints["return"], failed.get("return"))
    return Signature(
        parameters=tuple(parameters),
        annotations=annotations,
        defaults=defaults,
        result=returned.term,
        returns=returned.annotation,
        may_skip=returned.may_skip,
        unimportable=unimportable(function),
        unevaluable=returned.unevaluable,
        is_whole=is_whole and returned.unevaluable is None,
    )


def _annotation(hint: Any, failure: Exception | None) -> _Annotation:
    try:
        peeled = peel(hint)
        term, access = term_of(peeled.annotation), _access(peeled.annotation)
    except Exception as error:  # noqa: BLE001 - evaluating the value of an alias may raise anything
        peeled, term, access, failure = peel(hint, as_far_as_can_be=True), UNKNOWN, None, failure or error
    return _Annotation(peeled, term, access, _reason(failure, term))


def _returned(hint: Any, failure: Exception | None) -> _Returned:
    try:
        annotation, may_skip = without_skip(hint)
        term = term_of(annotation)
    except Exception as error:  # noqa: BLE001 - as above
        annotation, may_skip, term, failure = hint, False, UNKNOWN, failure or error
    return _Returned(annotation, term, may_skip, _reason(failure, term))


def _reason(failure: Exception | None, term: Term) -> str | None:
    """Why an annotation can't be evaluated; None if a part of it can't be stored, which another rule reports."""
    if failure is None or (isinstance(failure, PydanticSchemaGenerationError) and LIVE_TYPES.unserializable(term)):
        return None
    return reason_of(failure)


_CONTEXT: Final = term_of(StepContext)


def _access(annotation: Any) -> Access | None:
    """Sync or async, if an annotation names a connection or a session; else None."""
    cls, _ = named_class(annotation)
    if cls is None or cls.__module__ == "builtins":
        return None
    name, *bases = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
    return access_of(name, bases)


_NO_DEFAULT: Final = object()


def _bare_parameters(function: FunctionType) -> Iterator[tuple[str, Form, object]]:
    """Name, form and default of each parameter. `inspect.signature` is used only if the code object is not enough."""
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


_NOT_ANNOTATED: Final = _Annotation(Peeled(None, None, 0), MISSING)


# --- specs -------------------------------------------------------------------------------------------------------


def flow_spec(name: str, entries: Iterable[Entry], *, ignores: Ignores, places: bool = False) -> FlowSpec:
    """A flow of live steps as plain values.

    Args:
        name: The flow's name.
        entries: Its steps and jobs.
        ignores: What the flow's options say.
        places: Whether to look up the place of everything. It is slow, so only if there is something to report.
    """
    steps = tuple([_step_spec(entry, places=places) for entry in entries])
    return FlowSpec(name=name, steps=steps, ignores=ignores)


def _step_spec(entry: Entry, *, places: bool) -> StepSpec:
    step = entry.step
    if not isinstance(step, Step):
        spec = StepSpec(
            name=entry.name,
            result=ANY,
            deps=tuple(map(Reference, entry.deps)),
            ignores=entry.ignores,
            is_job=True,
        )
        return _locate_entry(spec, entry) if places else spec
    spec = _spec_of(step, entry.name, _signature(cast("FunctionType", step.function)), entry)
    return _locate(_locate_entry(spec, entry), step) if places else spec


_YIELDS: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _spec_of(step: Step[..., Any, Any, Any], name: str, read: Signature, entry: Entry) -> StepSpec:
    options = step.options
    return StepSpec(
        name=name,
        parameters=read.parameters,
        result=read.result,
        may_skip=read.may_skip,
        after=tuple(map(Reference, options["after"])) if "after" in options else (),
        deps=tuple(map(Reference, entry.deps)) if entry.deps else (),
        ignores=entry.ignores.over(Ignores.of(options)) if options else entry.ignores,
        options=_map_options(options) if options else NO_OPTIONS,
        bound={key: argument_of(value) for key, value in step.bound.items()} if step.bound else NOTHING,
        is_async=step.is_async,
        unimportable=read.unimportable,
        is_generator=bool(cast("FunctionType", step.function).__code__.co_flags & _YIELDS),
        unevaluable=read.unevaluable,
    )


def _map_options(options: Mapping[str, Any]) -> Mapping[str, Option]:
    """The options whose check needs the signature. `step` has already checked each option alone."""
    return {name: Option(value=options[name]) for name in (*MAP_OPTIONS, "models") if name in options}


_SCALARS: Final = (str, int, float, bytes, type(None))
_SCALAR_TERMS: Final[Mapping[type, Instance]] = {
    scalar: cast("Instance", term_of(scalar)) for scalar in (*_SCALARS, bool)
}
_LONGEST_LITERAL: Final = 200
"""The most characters or bits of a value that is compared to a `Literal`: nobody writes a longer one."""


def argument_of(value: object) -> Argument:
    """Describe a value's type without looking inside: pydantic checks the contents of containers and models."""
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
    return roles.unimportable(function.__qualname__, _first_parameter(function))


def _first_parameter(function: FunctionType) -> str | None:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]  # what follows are variables
    return names[0] if names else None


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
        parameters=tuple(item._replace(place=parameters.get(item.name)) for item in spec.parameters),
        after=tuple(Reference(item.name, after.get(item.name)) for item in spec.after),
        options={name: option._replace(place=options.get(name)) for name, option in spec.options.items()},
        bound={key: item._replace(place=site.keyword(key) if site else None) for key, item in spec.bound.items()},
        bind_place=site.place() if site else None,
    )
