"""Calling a step's function: on the event loop or in a thread, and ending it early when its job is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final

from oban import Cancel, Job, Snooze

from baton_dsl.context import Skip, StepEnded
from baton_dsl.errors import StepAbortedError
from baton_dsl.runtime.bridge import cancellation_of
from baton_dsl.runtime.threads import RUNS
from baton_dsl.step import Step

CANCELLED: Final = "cancelled while it ran"
"""Why a step was cancelled that let itself be interrupted."""


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
        arguments: What its function takes.
        loop: Where an awaitable that it returns is awaited, with this thread waiting for it; None returns it.

    Raises:
        StepAbortedError: BTN514, if it raised what is no `Exception`.
    """
    with contained(f'step "{step.name}"'):
        try:
            value = step.function(**arguments)
        except StepEnded as ended:
            return _said(ended)
    if loop is None or not isawaitable(value):
        return value
    return asyncio.run_coroutine_threadsafe(_awaited(step, lambda: value), loop).result()


async def call(step: Step[..., Any, Any, Any], job: Job, arguments: Mapping[str, Any]) -> Any:
    """Call the function of a step where it belongs.

    Returns:
        What it returned; `Cancel`, `Snooze` or `Skip` if it ended by its context, or was interrupted.
    """
    if step.stand_in is not None:
        return await step.stand_in(job, arguments)
    if not step.is_async:
        value = await in_thread(lambda: call_here(step, arguments), job)
        # A decorator that knows nothing of async functions makes of one a plain function that returns a coroutine.
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
        return Cancel(f"{CANCELLED}, and its clean-up failed: {error!r}")
    return Cancel(CANCELLED)


async def _awaited(step: Step[..., Any, Any, Any], start: Callable[[], Awaitable[Any]]) -> Any:
    with contained(f'step "{step.name}"'):
        try:
            return await start()
        except StepEnded as ended:
            return _said(ended)
        except BaseExceptionGroup as group:
            if (said := _ended_in(group)) is None:
                raise
            return _said(said)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Make an error of what is no `Exception`, which Oban does not hear of.

    The job would seem to run for ever, or the process would end.

    Args:
        what: What runs inside, for the message: `step "charge"`.

    Raises:
        StepAbortedError: BTN514, if something else was raised than an `Exception`.
    """
    try:
        yield
    except (Exception, GeneratorExit):  # the latter: the loop is closed
        raise
    except BaseException as error:
        if _is_for_the_loop(error):
            raise
        said = f": {error}" if str(error) else ""
        raise StepAbortedError(f"{what} raised {type(error).__name__}, which is no Exception{said}") from error


def _is_for_the_loop(error: BaseException) -> bool:
    """True for Ctrl-C, and for a cancellation that was asked for: by a timeout, or a worker that stops."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread
        return False
    is_asked_for = task is not None and task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt) or (isinstance(error, asyncio.CancelledError) and is_asked_for)


def _ended_in(group: BaseExceptionGroup[BaseException]) -> StepEnded | None:
    """How the tasks of a group have ended their step, if nothing else is in it."""
    ended, others = group.split(StepEnded)
    if ended is None or others is not None:
        return None
    first: BaseException = ended
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, StepEnded)
    return first


def _said(ended: StepEnded) -> Cancel | Snooze | Skip:
    if ended.skip is not None:
        return ended.skip
    return Cancel(ended.reason) if ended.reason is not None else Snooze(ended.seconds or 0)


class Interruption:
    """Cancels the task inside `async with` once an event is set, as `asyncio.timeout` does when the time is up.

    A cancellation by anybody else goes on its way: that of a timeout, or of a worker that stops.

    Args:
        asked: The event.

    Attributes:
        has_come: Whether the task was cancelled by it.
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
