"""`@step`: turns a function into a step of a flow. It can still be called as a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import update_wrapper
from inspect import iscoroutinefunction
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypedDict, Unpack, cast, final, overload

from typing_extensions import ParamSpec, TypeVar

from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import INHERITS, Ignores, Option
from baton_dsl.errors import FlowError
from baton_dsl.places import CallSite, DefinitionPlaces

if TYPE_CHECKING:
    from oban import Job


@dataclass(frozen=True, slots=True)
class InputMarker:
    """Marks an input: a parameter whose value is given at insert."""


@dataclass(frozen=True, slots=True)
class EachMarker:
    """Marks a map: the step runs once for each item of the parameter's collection."""


@dataclass(frozen=True, slots=True)
class FromMarker:
    """Marks a parameter whose upstream has a different name."""

    source: str


type Input[T] = Annotated[T, InputMarker()]
"""An input: a parameter whose value is given at insert, such as `api_key: Input[str]`. It may have a default."""

type Each[T] = Annotated[T, EachMarker()]
"""A parameter that makes its step a map: with `region: Each[str]` it runs once for each item of `region`.

`Each[Each[T]]` maps two levels deep, `Each[Input[T]]` maps over a list that is given at insert, and
`Each[tuple[K, V]]` maps over the items of a dict. A step that takes the results of a map takes `list[R]`, nested once
for each level.
"""


@overload
def From[R](step: Step[..., R, Any, Any], /) -> R: ...
@overload
def From(step: str, /) -> Any: ...
def From(step: Step[..., Any, Any, Any] | str, /) -> Any:
    """Name the upstream of a parameter, if the two have different names.

    Used as a default (`left: int = From(charge)`), every type checker compares the upstream's result with the
    annotation. Used as metadata (`left: Annotated[int, From("charge_eu")]`), it can name a step by its name in the
    flow.

    Args:
        step: The upstream, or its name in the flow.

    Returns:
        A marker; typed as the upstream's result, so that checkers prove the edge.

    Examples:
        >>> from baton_dsl import From, step
        >>> @step
        ... def charge() -> int:
        ...     return 12
        >>> @step
        ... def report(left: int = From(charge)) -> str:
        ...     return f"{left} EUR"
    """
    if isinstance(step, Step):
        return FromMarker(step.name)
    if isinstance(step, str):
        return FromMarker(step)
    raise TypeError(f"From() takes a step or the name of one, got {type(step).__name__}")


class StepOptions(TypedDict, total=False):
    """The options of `@step(...)`.

    Attributes:
        name: The step's name in a flow; default: the function's.
        queue: Oban's queue; default: `default`.
        max_attempts: How many attempts the step has; after the last failed one it is discarded. Default: 20, as in
            Oban.
        max_crashes: How often the process that runs the step may die before the step is discarded. A crash uses no
            attempt. Default: the number of attempts.
        priority: 0 (first) to 9; default: 0.
        tags: Oban's tags.
        timeout: Seconds, or a timedelta, that one attempt may take. Python can't stop a thread, so when a sync step
            exceeds its timeout, the attempt fails and its thread goes on.
        backoff: Seconds, or a timedelta, before the next attempt; or a function of the attempt (1 for the first).
            Default: Oban's, exponential with jitter.
        cancellable: For an async step: cancel its task when its job or workflow is cancelled while it runs, so that the
            function gets an `asyncio.CancelledError` where it awaits. Default: False; the function must check itself.
        scheduled_in: How long after the insert the step may start at the earliest, in seconds or as a timedelta.
        scheduled_at: When the step may start at the earliest, with a time zone.
        after: Names of steps to wait for, without taking their results.
        ignore_cancelled: Run even if an upstream was cancelled; its parameter is then None. Default: the flow's option.
        ignore_discarded: Run even if an upstream was discarded; its parameter is then None. Default: the flow's option.
        combine: How to combine several `Each` parameters: `"product"` runs the step for each combination, in the order
            of `itertools.product`; `"zip"` pairs the items by position, and the collections must have the same length.
        max_concurrency: How many items of a map may run at once; default: as many as the queue allows.
        max_items: How many items a map may have; a larger map is discarded. Default: 100,000.
        min_success: How many items of each list must succeed (`3`), or what share of them (`0.9`), for the map to
            count as completed; default: all.
        max_cost: What one attempt may cost, as an exact number. If the workflow has a budget, this amount is reserved
            before the attempt starts.
        max_input_tokens: The most tokens that an attempt sends to its model. Without `max_cost`, the price of these and
            of `max_output_tokens` is reserved.
        max_output_tokens: The most tokens that an attempt gets from its model.
        models: The name of the step's model, available as `StepContext.model`; or a tuple of several. With several, the
            step runs once for each model, in parallel and with separate retries, and downstream steps take a dict of
            results by model, `dict[str, R]`. The flow's option `models` may set other models.
    """

    name: str
    queue: str
    max_attempts: int
    max_crashes: int
    priority: int
    tags: Sequence[str]
    timeout: float | timedelta
    backoff: float | timedelta | Callable[[int], float | timedelta]
    cancellable: bool
    scheduled_in: float | timedelta
    scheduled_at: datetime
    after: Sequence[str]
    ignore_cancelled: bool
    ignore_discarded: bool
    combine: Literal["product", "zip"]
    max_concurrency: int
    max_items: int
    min_success: float
    max_cost: Decimal | int
    max_input_tokens: int
    max_output_tokens: int
    models: str | Sequence[str]


# The syntax for defaults of type parameters exists only since Python 3.13.
P = ParamSpec("P")
R = TypeVar("R", covariant=True)
N = TypeVar("N", bound=str, default=str, covariant=True)
C = TypeVar("C", default=Any, covariant=True)


@final
class Step(Generic[P, R, N, C]):
    """A step: call it to call its function, or put it into a `Flow`.

    Created by the `step` decorator. Type parameters: the function's parameters `P`, its result `R` without the
    coroutine around it, its name `N`, and the return type `C` of a direct call.

    Attributes:
        function: The decorated function.
        name: The name in a flow.
        options: The options of the decorator.
        bound: The inputs that `bind` has set.
    """

    def __init__(self, function: Callable[P, C], options: Mapping[str, Any], /) -> None:
        plain = function.__func__ if isinstance(function, staticmethod) else function
        if not isinstance(plain, FunctionType):
            raise TypeError(f"step() decorates a function, got {type(function).__name__} {function!r}")
        update_wrapper(self, plain)  # first, because it copies all attributes of the function
        self.function: Callable[P, C] = plain
        self.options: Mapping[str, Any] = options
        self.bound: Mapping[str, Any] = {}
        self.bind_site: CallSite | None = None
        self.signature_read: tuple[object, Any] | None = None  # of what, and what `reflect` has read
        self.stand_in: Callable[[Job, Mapping[str, Any]], Awaitable[Any]] | None = None  # only tests set it
        self.name: str = options.get("name", plain.__name__)
        self.is_async: bool = iscoroutinefunction(plain)
        _check_options(plain, options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function, as if it had not been decorated."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<step {self.name!r} of {self.path}>"

    @property
    def path(self) -> str:
        """Where the function can be imported: `app.flows.charge`."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def is_per_model(self) -> bool:
        """True if it runs once for each of several models, so that downstream steps get a dict of results by model."""
        return isinstance(self.options.get("models"), list | tuple)

    def named[M: str](self, name: M, /) -> Step[P, R, M, C]:
        """Copy the step under another name, so that a flow can use the function twice.

        Raises:
            FlowError: BTN305, if the name is blank, too long or has control characters.

        Examples:
            >>> from baton_dsl import Flow, Input, step
            >>> @step
            ... def charge(region: Input[str]) -> str:
            ...     return region
            >>> flow = Flow("billing", charge.named("charge_eu").bind(region="eu"), charge)
            >>> flow.step_names
            ('charge_eu', 'charge')
        """
        if expected := option_rule.wrong_step_name(name):
            raise FlowError([option_rule.finding(f"the name of a step must be {expected}, got {name!r:.60}")])
        copy = self._copy()
        copy.name = name
        return cast("Step[P, R, M, C]", copy)

    def bind(self, **inputs: Any) -> Step[P, R, N, C]:
        """Copy the step with some of its inputs set. `insert` can then leave these out.

        `Flow.validate` and `Flow.insert` check the values against the annotations.

        Args:
            **inputs: Values by input name.
        """
        copy = self._copy()
        copy.bound = {**self.bound, **inputs}
        copy.bind_site = CallSite.of_caller()
        return copy

    def _copy(self) -> Step[P, R, N, C]:
        copy: Step[P, R, N, C] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy


def _check_options(function: FunctionType, options: Mapping[str, Any]) -> None:
    name = function.__name__
    is_async = iscoroutinefunction(function)
    if list(option_rule.options(name, {key: Option(value=value) for key, value in options.items()}, is_async=is_async)):
        places = DefinitionPlaces.of(function).options or {}
        located = {key: Option(value=value, place=places.get(key)) for key, value in options.items()}
        raise FlowError(list(option_rule.options(name, located, is_async=is_async)))


@final
class OnlyAny:
    """Sentinel return type: only functions annotated `-> Any` (or `-> Never`) match an overload with it.

    Without that overload, pyright would choose the first one, and treat such a function as a coroutine function.
    """


@final
@dataclass(frozen=True, slots=True)
class StepDecorator:
    """What `step(queue=...)` returns: a decorator with options."""

    options: StepOptions

    @overload
    def __call__[**P](self, function: Callable[P, OnlyAny], /) -> Step[P, Any, str, Any]: ...
    @overload
    def __call__[**P, R](
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Step[P, R, str, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__[**P, R](self, function: Callable[P, R], /) -> Step[P, R, str, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Step[..., Any, str, Any]:
        """Turn a function into a step."""
        return Step(function, dict(self.options))


@overload
def step[**P](function: Callable[P, OnlyAny], /) -> Step[P, Any, str, Any]: ...
@overload
def step[**P, R](function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R, str, Coroutine[Any, Any, R]]: ...
@overload
def step[**P, R](function: Callable[P, R], /) -> Step[P, R, str, R]: ...
@overload
def step(**options: Unpack[StepOptions]) -> StepDecorator: ...
def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Step[..., Any, str, Any] | StepDecorator:
    """Turn a function, sync or async, into a step. Its parameter names are the steps it waits for.

    Args:
        function: The function, when used without options.
        **options: See `StepOptions`.

    Returns:
        The step, or a decorator when options are given.

    Raises:
        FlowError: BTN305, if an option is unknown or out of range.

    Examples:
        >>> from baton_dsl import Flow, Input, step
        >>> @step(queue="shop", max_attempts=5)
        ... async def orders(region: Input[str]) -> list[int]:
        ...     return [12, 30]
        >>> @step
        ... def total(orders: list[int]) -> int:
        ...     return sum(orders)
        >>> total([1, 2])
        3
        >>> Flow("shop", orders, total).validate()
        ['orders', 'total']
    """
    decorator = StepDecorator(cast("StepOptions", options))
    return decorator if function is None else decorator(function)


class Entry(NamedTuple):  # like `StepSpec`, there are thousands
    """One entry of a flow: a step or a plain Oban job, with its name there and the arguments of `Flow.add`."""

    name: str
    step: Step[..., Any, Any, Any] | Job
    deps: tuple[str, ...] = ()
    ignores: Ignores = INHERITS
    site: CallSite | None = None
    position: int = 0
    """The index of the argument in the call at `site`."""
