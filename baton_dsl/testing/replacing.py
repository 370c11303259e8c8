"""Replacements for steps in tests: values, exceptions and functions, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, Final, final

from oban import Cancel, Job, Snooze

from baton_dsl.context import Skip
from baton_dsl.core.diagnostics import did_you_mean, quoted
from baton_dsl.core.items import step_of
from baton_dsl.core.wording import suggestion
from baton_dsl.errors import BatonError, ReplacementError
from baton_dsl.flow import Flow
from baton_dsl.reflect import signature
from baton_dsl.runtime.executing.calling import call
from baton_dsl.runtime.values import payload
from baton_dsl.step import Entry, Step

type AnyFlow = Flow[..., Any]
type Given = Mapping[Any, Any]
"""The argument `replace=` of a test: a replacement for each step, its name or a hook."""

_ENDINGS: Final = (Skip, Cancel, Snooze)


@final
@dataclass(frozen=True, slots=True, init=False)
class attempts:  # noqa: N801 - it reads as the function that a test calls
    """Replacements of a step, one for each attempt. The last one is used for all further attempts.

    A list means the same, unless the step itself returns a list.

    Examples:
        >>> from baton_dsl import step
        >>> from baton_dsl.testing import attempts
        >>> @step
        ... def regions() -> list[str]:
        ...     return ["eu"]
        >>> replace = {regions: attempts(ConnectionError("no route"), ["eu", "us"])}
    """

    answers: tuple[Any, ...]

    def __init__(self, *answers: Any) -> None:
        if not answers:
            raise ReplacementError("attempts() needs a replacement for the first attempt at least")
        object.__setattr__(self, "answers", answers)


@dataclass(frozen=True, slots=True)
class Answer:
    """The replacement for one attempt: a value to return, an exception to raise, or a function to call."""

    value: Any = None
    error: BaseException | type[BaseException] | None = None
    function: Callable[..., Any] | None = None

    @property
    def is_sync(self) -> bool:
        """True if it does not await anything."""
        return self.function is None or not inspect.iscoroutinefunction(self.function)

    async def give(self, step: Step[..., Any, Any, Any], job: Job, arguments: Mapping[str, Any]) -> Any:
        """Apply the replacement to a call of the step with these arguments."""
        if self.error is not None:
            raise self.error
        if self.function is None:
            return self.value
        return await call(_shadow(step, self.function), job, _taken(self.function, step, arguments))


@final
class Replacements:
    """All replacements of the steps and hooks of one flow.

    Args:
        flow: The flow.
        given: The argument of the test.

    Raises:
        ReplacementError: BTN601, if a replaced step is not in the flow, or can't return the replacement.
    """

    def __init__(self, flow: AnyFlow, given: Given | None) -> None:
        self._answers: dict[str, tuple[Answer, ...]] = {}
        self._hooks: dict[Any, Any] = {}
        entries = {entry.name: entry for entry in flow.entries}
        hooks = set(flow.settings.hooks().values())
        for key, what in (given or {}).items():
            if isinstance(key, FunctionType) and key in hooks:
                self._hooks[key] = what
                continue
            for name in _names(flow, key):
                self._answers[name] = tuple(_answers(entries[name], what))

    def answer(self, node: str, number: int) -> Answer | None:
        """The replacement of the n-th call of a node; None if there is none."""
        answers = self._answers.get(step_of(node))
        return None if answers is None else answers[min(number, len(answers)) - 1]

    def replaces(self, step: str) -> bool:
        """True if a step is replaced."""
        return step in self._answers

    def hook(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that is called instead of a hook."""
        if function not in self._hooks:
            return function
        what = self._hooks[function]
        return what if callable(what) and not isinstance(what, type) else partial(_say, what)

    @property
    def steps(self) -> frozenset[str]:
        """The names of the steps that are replaced."""
        return frozenset(self._answers)


def _say(what: Any, _status: Any) -> Any:
    if _is_error(what):
        raise what
    return what


def _names(flow: AnyFlow, key: Any) -> list[str]:
    """The steps of a flow that a key selects: the one of that name, or all with the function of that step."""
    names = flow.step_names
    if isinstance(key, Step):
        if key.name in names:
            return [key.name]
        function = key.function
        if same := [it.name for it in flow.entries if isinstance(it.step, Step) and it.step.function is function]:
            return same
        name = key.name
    elif isinstance(key, str):
        if key in names:
            return [key]
        name = key
    else:
        raise ReplacementError(
            f"replace= takes steps, their names, and hooks of the flow as keys, got {key!r:.60}",
            remedy="give the step itself: replace={charge: 12}",
        )
    nearest = did_you_mean(name, names)
    raise ReplacementError(
        f'flow "{flow.name}" has no step "{name}" to replace',
        remedy=suggestion(nearest) or f"it has {quoted(names)}",
    )


def _answers(entry: Entry, what: Any) -> Iterator[Answer]:
    if isinstance(what, attempts):
        several: tuple[Any, ...] | list[Any] | None = what.answers
    elif isinstance(what, list) and what and not _fits(entry, what):
        several = what
    else:
        several = None
    for one in (what,) if several is None else several:
        yield _answer(entry, one)


def _answer(entry: Entry, what: Any) -> Answer:
    if _is_error(what):
        return Answer(error=what)
    if isinstance(what, Step):
        return Answer(function=what.function)
    if inspect.isroutine(what) or isinstance(what, partial):
        return Answer(function=what)
    if not isinstance(what, _ENDINGS) and isinstance(entry.step, Step):
        try:
            payload.encode_result(entry.name, signature(entry.step).returns, what)
        except BatonError as error:
            problem = error.message.replace(" returned ", " is replaced by ", 1)
            raise ReplacementError(problem, remedy="replace it by what its return annotation says") from error
    return Answer(value=what)


def _fits(entry: Entry, what: Any) -> bool:
    """True if the list itself is a possible result of the step."""
    if not isinstance(entry.step, Step):
        return False
    try:
        payload.encode_result(entry.name, signature(entry.step).returns, what)
    except BatonError:
        return False
    return True


def _is_error(what: Any) -> bool:
    return isinstance(what, BaseException) or (isinstance(what, type) and issubclass(what, BaseException))


def _shadow(step: Step[..., Any, Any, Any], function: Callable[..., Any]) -> Step[..., Any, Any, Any]:
    """Copy the step with another function. Its timeout, and whether it runs in a thread, stay."""
    shadow = step.named(step.name)
    shadow.function = function
    shadow.is_async = inspect.iscoroutinefunction(function)
    shadow.stand_in = None
    return shadow


def _taken(function: Callable[..., Any], step: Step[..., Any, Any, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the step that a replacing function takes.

    They are passed by name. A parameter with another name gets the item of a map, if the step maps over one collection.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return dict(given)
    if any(it.kind is inspect.Parameter.VAR_KEYWORD for it in parameters):
        return dict(given)
    taken = {it.name: given[it.name] for it in parameters if it.name in given}
    missing = [it for it in parameters if it.name not in given and it.default is inspect.Parameter.empty]
    mapped = [it.name for it in signature(step).parameters if it.each and it.name in given]
    if len(missing) == 1 and len(mapped) == 1 and mapped[0] not in taken:
        taken[missing[0].name] = given[mapped[0]]
    return taken
