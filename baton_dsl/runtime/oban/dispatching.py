"""Start each attempt in the worker's context, and make sure that Oban notices its end.

Part of the bridge to oban, as `acks` is:

| what | where in oban | why |
| --- | --- | --- |
| starting an attempt | `Producer._dispatcher`, with `dispatch` and `cancel` | it is started in our context |
| running an attempt | `Executor`, as `Producer._execute` uses it | if it fails, the job would seem to run for ever |
| how an attempt ended | `Producer._pending_acks`, `AckAction` | we add what Oban could not tell |
| the instance of a producer | `Producer._query` | the producers of one instance share it |
| the context of a running instance | `Producer._loop_task` | for instances that started before us |
| a pause between attempts | `oban._backoff.jittery_clamped` | if the step's own is unknown |
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from oban import Job
from oban._backoff import jittery_clamped
from oban._executor import AckAction, Executor
from oban._producer import Dispatcher, LocalDispatcher, Producer
from oban._query import Query

from baton_dsl.runtime.values.raised import described, traceback_of

logger = logging.getLogger(__name__)

_contexts: Final[WeakKeyDictionary[Query, contextvars.Context]] = WeakKeyDictionary()
"""The context in which each Oban instance was started."""


def context_of(query: Query) -> contextvars.Context:
    """A copy of the context in which an instance was started; of the current one if that is not known."""
    context = _contexts.get(query)
    return context.copy() if context is not None else contextvars.copy_context()


def isolate(producer: Producer) -> None:
    """Make the attempts of a producer start in the context of its instance; for the first producer, the current one."""
    _contexts.setdefault(producer._query, contextvars.copy_context())
    if not isinstance(producer._dispatcher, IsolatingDispatcher):
        producer._dispatcher = IsolatingDispatcher(producer._dispatcher)


def isolate_running(producer: Producer) -> None:
    """The same for a running producer, whose loop task has the context in which its instance was started."""
    task: asyncio.Task[None] | None = producer._loop_task
    context = task.get_context().copy() if task is not None else contextvars.copy_context()
    context.run(isolate, producer)


def remember(query: Query) -> None:
    """Remember the current context as the one in which an instance was started."""
    _contexts[query] = contextvars.copy_context()


class IsolatingDispatcher:
    """Wraps a dispatcher so that each attempt starts in a fresh copy of the instance's context.

    Otherwise an attempt would start in a context of Oban, of the attempt that claimed it, or of a callback, and could
    see context variables of another step.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def dispatch(self, producer: Producer, job: Job) -> asyncio.Task[None]:
        """Start an attempt."""
        return context_of(producer._query).run(self._start, producer, job)

    def _start(self, producer: Producer, job: Job) -> asyncio.Task[None]:
        if isinstance(self._dispatcher, LocalDispatcher):  # other dispatchers run jobs elsewhere
            return asyncio.create_task(_execute(producer, job))
        return self._dispatcher.dispatch(producer, job)

    def cancel(self, producer: Producer, job: Job) -> None:
        """Ask an attempt to stop."""
        self._dispatcher.cancel(producer, job)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)


async def _execute(producer: Producer, job: Job) -> None:
    """Run an attempt as `Producer._execute` does. If the executor fails, a workflow's job ends nevertheless."""
    job._cancellation = asyncio.Event()
    executor: Any = Executor(job=job, safe=True)
    try:
        await executor.execute()
    except BaseException as error:
        if not _is_ours(job) or _is_asked_for(error):
            raise
        logger.error("job %s of %s: Oban failed to handle its end: %s", job.id, job.worker, described(error))
        raised = executor.result if isinstance(executor.result, BaseException) else error
        executor.action = executor.action or failed(job, raised)
    producer._pending_acks.append(executor.action)


def _is_ours(job: Job) -> bool:
    return "workflow_id" in job.meta or "baton_hook" in job.meta


def _is_asked_for(error: BaseException) -> bool:
    """True for Ctrl-C, for a task that is cancelled because its worker stops, and for a coroutine that is closed."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    if isinstance(error, GeneratorExit):
        return _current_task() is None
    return isinstance(error, KeyboardInterrupt)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def failed(job: Job, error: BaseException) -> AckAction:
    """The ack of a failed attempt, as Oban's executor would create it."""
    entry = {"attempt": job.attempt, "at": datetime.now(UTC).isoformat(), "error": traceback_of(error)}
    if job.attempt >= job.max_attempts:
        return AckAction(job=job, state="discarded", error=entry)
    return AckAction(job=job, state="retryable", error=entry, schedule_in=default_backoff(job))


def default_backoff(job: Job) -> int:
    """Seconds before the next attempt of a job whose worker has no backoff of its own."""
    pause: int = jittery_clamped(job.attempt, job.max_attempts)
    return pause
