"""Call a step's function, on the event loop or in a thread, and end it early when its job is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from math import ceil
from types import TracebackType
from typing import Any, Final

from oban import Cancel, Job, Snooze

from baton_dsl.context import Skip, StepEnded
from baton_dsl.core.wording import shortened
from baton_dsl.errors import StepAbortedError
from baton_dsl.runtime.oban.bridge import cancellation_of
from baton_dsl.runtime.oban.threads import RUNS
from baton_dsl.runtime.values.raised import described, kind_of, tellable, text_of
from baton_dsl.step import Step

LONGEST: Final = 2**31 - 1
"""The most seconds of a snooze that fit into Oban's column."""

CANCELLED: Final = "cancelled while it ran"
"""The reason of a cancellable step that was cancelled while it ran."""


async def in_thread[T](function: Callable[[], T], job: Job) -> T:
    """Run the function of a job in a thread, with the context variables of the caller."""
    context = contextvars.copy_context()
    return await RUNS.run(lambda: context.run(function), job)


def call_here(
    step: Step[..., Any, Any, Any], arguments: Mapping[str, Any], loop: asyncio.AbstractEventLoop | None = None
) -> Any:
    """Call the function of a sync step in this thread.

    Args:
        step: The step.
        arguments: The arguments of its function.
        loop: The loop that runs an awaitable that it returns, while this thread waits; None returns the awaitable.

    Raises:
        StepAbortedError: BTN514, if it raises something other than an `Exception`.
    """
    with Contained(f'step "{step.name}"'):
        try:
            value = step.function(**arguments)
        except StepEnded as ended:
            return _said(ended)
    if loop is None or not isawaitable(value):
        return value
    return asyncio.run_coroutine_threadsafe(_awaited(step, lambda: value), loop).result()


async def call(step: Step[..., Any, Any, Any], job: Job, arguments: Mapping[str, Any]) -> Any:
    """Call the function of a step: on the event loop if it is async, otherwise in a thread.

    Returns:
        Its result; `Cancel`, `Snooze` or `Skip` if it ended through its context or was interrupted.
    """
    if step.stand_in is not None:
        return await step.stand_in(job, arguments)
    if not step.is_async:
        value = await in_thread(lambda: call_here(step, arguments), job)
        # A decorator that does not handle async functions turns one into a plain function that returns a coroutine.
        return await _awaited(step, lambda: value) if isawaitable(value) else value
    asked = cancellation_of(job) if step.options.get("cancellable") else None
    if asked is None:
        return await _awaited(step, lambda: step.function(**arguments))
    interruption = Interruption(asked)
    try:
        async with interruption:
            return await _awaited(step, lambda: step.function(**arguments))
    except Exception as error:
        if not interruption.has_come:
            raise
        return Cancel(f"{CANCELLED}, and its clean-up failed: {described(error)}")
    return Cancel(CANCELLED)


async def _awaited(step: Step[..., Any, Any, Any], start: Callable[[], Awaitable[Any]]) -> Any:
    with Contained(f'step "{step.name}"'):
        try:
            return await start()
        except StepEnded as ended:
            return _said(ended)
        except BaseExceptionGroup as group:
            if (said := _ended_in(group)) is None:
                raise
            return _said(said)


class Contained:
    """Turn a BaseException into StepAbortedError, because Oban handles only `Exception`.

    After others, the job would seem to run for ever, or the process would end.

    Args:
        what: What runs inside, for the message: `step "charge"`.

    Raises:
        StepAbortedError: BTN514, if something other than an `Exception` is raised.
    """

    __slots__ = ("_task", "_what")

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._task = _current_task()

    def __exit__(
        self, _class: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None or _is_for_the_loop(error, self._task):
            return
        failure = _failure(self._what, error)
        if failure is not error:
            raise failure from failure.__cause__


def _failure(what: str, error: BaseException) -> Exception:
    if isinstance(error, StopIteration):  # a future can't carry a StopIteration
        return RuntimeError(f"{what} raised StopIteration").with_traceback(error.__traceback__)
    if isinstance(error, Exception):
        return tellable(error)
    text = text_of(error)
    said = f": {text}" if text else ""
    failure = StepAbortedError(f"{what} raised {kind_of(error)}, which is no Exception{said}")
    failure.__cause__ = error
    return tellable(failure)


def _is_for_the_loop(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """True for Ctrl-C, for a requested cancellation, and for a coroutine that is closed with its loop.

    Args:
        error: The exception.
        task: The running task; None in a thread.
    """
    if task is None:
        return False
    match error:
        case asyncio.CancelledError():  # from a timeout, or a worker that stops
            return task.cancelling() > 0
        case GeneratorExit():  # the task does not run when its coroutine is closed
            return _current_task() is not task
    return isinstance(error, KeyboardInterrupt)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


def _ended_in(group: BaseExceptionGroup[BaseException]) -> StepEnded | None:
    """How the tasks of a task group ended their step; None if the group has other exceptions."""
    ended, others = group.split(StepEnded)
    if ended is None or others is not None:
        return None
    first: BaseException = ended
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, StepEnded)
    return first


def ending(value: Cancel | Snooze) -> Cancel | Snooze:
    """Check that Oban can store how a step ended itself.

    Raises:
        ValueError: If the seconds of a snooze are not a number in Oban's range.
    """
    if isinstance(value, Cancel):
        reason: object = value.reason
        return Cancel(shortened(reason if isinstance(reason, str) else _shown(reason)))
    seconds: object = value.seconds
    if not isinstance(seconds, int | float) or not seconds <= LONGEST:
        raise ValueError(f"Snooze takes at most {LONGEST:,} seconds, got {_shown(seconds)}")
    return Snooze(max(0, ceil(seconds)), value.meta)


def _shown(value: object) -> str:
    try:
        return shortened(repr(value))
    except Exception as error:  # noqa: BLE001
        return f"a {type(value).__name__} without a text: {described(error)}"


def _said(ended: StepEnded) -> Cancel | Snooze | Skip:
    if ended.skip is not None:
        return ended.skip
    return Cancel(ended.reason) if ended.reason is not None else Snooze(ended.seconds or 0)


class Interruption:
    """Cancels the task inside `async with` when an event is set, as `asyncio.timeout` does after a time.

    Other cancellations, from a timeout or a worker that stops, pass through.

    Args:
        asked: The event.

    Attributes:
        has_come: Whether it has cancelled the task.
    """

    def __init__(self, asked: asyncio.Event) -> None:
        self.has_come = False
        self._asked = asked

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self._asked.wait()
        self.has_come = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        is_ours = self.has_come and self._task.uncancel() <= self._before
        return is_ours and kind is asyncio.CancelledError
