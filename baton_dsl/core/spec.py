"""A flow as plain values: each front end produces a `FlowSpec`, and `check` reads it.

Three front ends produce a `FlowSpec`: live functions (`baton_dsl.reflect`), mypy's types (`baton_mypy`) and source
text (`baton_lint`). A spec holds no function, no annotation object of a user and no driver; a type in it is opaque
and means something only to the `Types` that came with it.

Small records are tuples because there are many of them: a tuple is created three times as fast as a frozen dataclass,
and so is its class when the package is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

NOTHING: Final[Mapping[str, Argument]] = MappingProxyType({})
NO_OPTIONS: Final[Mapping[str, Option]] = MappingProxyType({})


class Place(NamedTuple):
    """A range in a source file. Lines and columns count from 1; the end is exclusive."""

    path: str
    line: int
    column: int
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Absent(Enum):
    """Stands for an absent type."""

    UNKNOWN = "unknown"
    """The front end does not know it: rules stay silent."""

    MISSING = "missing"
    """The source has no annotation."""


UNKNOWN: Final = Absent.UNKNOWN
MISSING: Final = Absent.MISSING


class Role(Enum):
    """What gives a parameter its value."""

    UPSTREAM = "upstream"
    """The result of the step that `ParameterSpec.source` names."""

    INPUT = "input"
    """A value given at insert, or bound."""

    INJECTED = "injected"
    """Something the runtime provides by type, such as `StepContext`."""

    UNKNOWN = "unknown"
    """The front end does not know it: rules stay silent."""


class Access(Enum):
    """Whether a connection or a session is sync or async."""

    SYNC = "sync"
    ASYNC = "async"


class Form(Enum):
    """How a parameter may be passed, in the kinds that matter to a step."""

    KEYWORD = "keyword"
    POSITIONAL_ONLY = "positional-only"
    STAR_ARGS = "*args"
    STAR_KWARGS = "**kwargs"


class ParameterSpec(NamedTuple):
    """One parameter of a step."""

    name: str
    role: Role
    type: object = UNKNOWN
    """Without its marker: `Input[str]` is `str` here, and `Each[str]` is `str` too."""
    source: str | None = None
    """The step whose result this is; None if the parameter is not an upstream, or the name is unknown."""
    each: int = 0
    """Levels of collections that the step is mapped over: 1 for `Each[T]`, 2 for `Each[Each[T]]`, 0 for neither."""
    access: Access | None = None
    """Sync or async, if it is a connection or a session whose transaction settles the step; else None."""
    has_default: bool = False
    is_read: bool | None = None
    """Whether the function's body reads it; None if that is unknown."""
    form: Form = Form.KEYWORD
    unevaluable: str | None = None
    """Why its annotation can't be evaluated at run time, or None when it can."""
    place: Place | None = None

    @property
    def is_upstream(self) -> bool:
        """True if the value is the result of another step."""
        return self.role is Role.UPSTREAM

    @property
    def is_input(self) -> bool:
        """True if the value is given at insert."""
        return self.role is Role.INPUT


class Reference(NamedTuple):
    """A name with the place where it was written: an item of `after=` or `deps=`."""

    name: str
    place: Place | None = None


class Argument(NamedTuple):
    """A value that is passed to an input; only its type is known."""

    type: object = UNKNOWN
    literal: object | None = None
    """The literal type of the value (`Literal["eu"]`), if known. Messages show `type`."""
    place: Place | None = None

    @property
    def narrowest(self) -> object:
        """The most precise known type of the value."""
        return self.type if self.literal is None else self.literal


class Option(NamedTuple):
    """A decorator option: its value (`UNKNOWN` when it is not a literal) and its place."""

    value: object
    place: Place | None = None


class Ignores(NamedTuple):
    """Whether a step runs though an upstream was cancelled, or discarded; None where that is not said."""

    cancelled: bool | None = None
    discarded: bool | None = None

    @staticmethod
    def of(options: Mapping[str, Any]) -> Ignores:
        """What the options of a step, of a flow or of a call say."""
        return Ignores(options.get("ignore_cancelled"), options.get("ignore_discarded"))

    def over(self, other: Ignores) -> Ignores:
        """What this says, and where it says nothing what the other says: of a step over that of its flow.

        Examples:
            >>> Ignores(discarded=False).over(Ignores(True, True))
            Ignores(cancelled=True, discarded=False)
        """
        return Ignores(
            other.cancelled if self.cancelled is None else self.cancelled,
            other.discarded if self.discarded is None else self.discarded,
        )

    @property
    def options(self) -> list[str]:
        """The names of the options that are set."""
        return [name for name, is_set in zip(IGNORES, self, strict=True) if is_set]


IGNORES: Final = ("ignore_cancelled", "ignore_discarded")
INHERITS: Final = Ignores()


class StepSpec(NamedTuple):  # a flow may have thousands, and a tuple is created six times as fast as a frozen dataclass
    """A step of one flow: with its name there, and the inputs that are bound to it."""

    name: str
    parameters: tuple[ParameterSpec, ...] = ()
    result: object = UNKNOWN
    """The return type, without the coroutine around it and without `Skip`; `MISSING` without a return annotation."""
    may_skip: bool = False
    """True if the return annotation says that the step may skip: `-> R | Skip`."""
    after: tuple[Reference, ...] = ()
    """Steps to wait for without taking their results."""
    deps: tuple[Reference, ...] = ()
    """Edges that `Flow.add(..., deps=...)` adds; the signature does not show them."""
    ignores: Ignores = INHERITS
    """Where it says nothing, the flow's options apply."""
    options: Mapping[str, Option] = NO_OPTIONS
    bound: Mapping[str, Argument] = NOTHING
    is_bound_checked: bool = False
    """True if the arguments of `bind` were checked when it was called."""
    is_job: bool = False
    """True for a plain Oban job: it has no signature to check."""
    is_async: bool | None = None
    """Whether the function is `async def`; None if that is unknown."""
    unimportable: str | None = None
    """Why a worker can't import the function by name, or None when it can."""
    unevaluable: str | None = None
    """Why the return annotation can't be evaluated at run time, or None when it can."""
    decorators_above: tuple[Reference, ...] = ()
    """Decorators that wrap the step, as they are written; only the source text shows them."""
    blocking_calls: tuple[Reference, ...] = ()
    """Calls in the body of an async step that block the event loop, by full name; only the source text shows them."""
    place: Place | None = None
    """The `def`."""
    return_place: Place | None = None
    """The return annotation."""
    argument_place: Place | None = None
    """Where the step is added to the flow: an argument of `Flow(...)` or of `add`."""
    bind_place: Place | None = None
    """The call of `bind`, if any."""
    is_open: bool = False
    """True if the front end can't see the whole step (other decorators, unresolved references)."""
    is_generator: bool = False
    """True if the function has a `yield`."""

    @property
    def is_mapped(self) -> bool:
        """True if the step runs once for each item of a collection or once for each model, or may do so."""
        return self.levels > 0 or self.is_per_model is not False

    @property
    def levels(self) -> int:
        """How many lists wrap its results for downstream steps: 0 if not mapped, 1 for `Each`, 2 for `Each[Each]`."""
        return max([parameter.each for parameter in self.parameters], default=0)

    @property
    def is_per_model(self) -> bool | None:
        """True if the step runs once for each of several models; None if that is unknown."""
        models = self.options.get("models")
        if models is None:
            return False
        return None if models.value is UNKNOWN else isinstance(models.value, list | tuple)


class Replaced(NamedTuple):
    """The replacement of one step in a test."""

    step: Reference
    answers: tuple[Argument, ...]
    """The values that replace its result, without exceptions and functions."""
    is_list: bool = False
    """True if the answers are the items of a list. That list may itself be the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertCall:
    """One call of `flow.insert(...)` or `flow.bind(...)`, or one workflow of `flow.insert_many(...)`: its inputs."""

    arguments: Mapping[str, Argument]
    place: Place | None = None
    is_open: bool = False
    """True if the call may pass more inputs than can be seen (`**inputs`)."""
    is_dropped: bool = False
    """True if the call returns an awaitable that nothing uses."""
    is_mapping: bool = False
    """True if the inputs are passed as a mapping."""
    replaced: tuple[Replaced, ...] = ()
    """The replacements of steps, if a test runs the flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec:
    """A flow: its steps in the order of definition."""

    name: str
    steps: tuple[StepSpec, ...] = ()
    ignores: Ignores = INHERITS
    options: Mapping[str, Option] = field(default_factory=dict)
    """The flow's options as they were written."""
    inserts: tuple[InsertCall, ...] = ()
    """The visible inserts. Their inputs include those that were bound before."""
    binds: tuple[InsertCall, ...] = ()
    """The visible calls of `bind`. Inputs that they leave out may follow later."""
    open_because: tuple[Reference, ...] = ()
    """Why not every step is known (a list built in a loop, an unresolved import); empty if the flow is closed."""
    place: Place | None = None

    @property
    def is_open(self) -> bool:
        """True if there may be steps that the front end could not see."""
        return bool(self.open_because)

    @property
    def knows_its_inputs(self) -> bool:
        """True if every input of every step is known, so that any other name is certainly not an input."""
        return not self.is_open and not any(
            step.is_open or any(item.role is Role.UNKNOWN and item.form is Form.KEYWORD for item in step.parameters)
            for step in self.steps
        )

    def ignored_by(self, step: StepSpec) -> Ignores:
        """What a step ignores in this flow: what it says itself, or else what the flow says."""
        return step.ignores.over(self.ignores)

    def inputs(self) -> dict[str, list[tuple[StepSpec, ParameterSpec]]]:
        """The inputs to give at insert, by name, each with the parameters that take it, in order of definition."""
        takers: dict[str, list[tuple[StepSpec, ParameterSpec]]] = {}
        for step in self.steps:
            for parameter in step.parameters:
                if parameter.is_input and parameter.name not in step.bound:
                    takers.setdefault(parameter.name, []).append((step, parameter))
        return takers


class Types(Protocol):
    """Answers questions about the types of a front end. `None` means unknown: rules then stay silent."""

    def assignable(self, source: object, target: object, /) -> bool | None:
        """May a value of type `source` go where `target` is expected?"""

    def accepts_none(self, target: object, /) -> bool | None:
        """May `None` go where `target` is expected?"""

    def list_of(self, item: object, /) -> object:
        """The type of a list of `item`: what the downstream of a mapped step sees."""

    def dict_of(self, value: object, /) -> object:
        """`dict[str, value]`: what the downstream of a step of several models sees."""

    def optional(self, item: object, /) -> object:
        """`item | None`."""

    def outcome_of(self, item: object, /) -> object:
        """The type of an `Outcome` with a value of type `item`."""

    def item_of(self, collection: object, /) -> object | None:
        """The type of the items of a collection; for a mapping, pairs of key and value.

        None if it is not a collection (strings and models are not), `UNKNOWN` if that is unknown.
        """

    def unserializable(self, type: object, /) -> str | None:
        """The part of the type that can't round-trip through JSON, as users write it; None if the whole type can."""

    def unreadable(self, type: object, /) -> str | None:
        """The part of the type that can't be read from JSON, as users write it; None if the whole type can."""

    def unevaluable(self, type: object, /) -> tuple[str, str] | None:
        """A class in the type with field annotations that can't be evaluated, and why; None if there is none."""

    def apart(self, one: object, other: object, /) -> tuple[str, str]:
        """Two different types as users write them, with dotted names where the short names are equal."""

    def show(self, type: object, /) -> str:
        """The type as users write it, with short names."""
