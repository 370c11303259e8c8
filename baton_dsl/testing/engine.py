"""Run a workflow in memory and in virtual time: its queues, its attempts and their ends."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, Final

from oban import Cancel, Job, Snooze
from oban.worker import JobTimeoutError

from baton_dsl.core.items import step_of
from baton_dsl.errors import RunError
from baton_dsl.runtime.executing.calling import Contained, call
from baton_dsl.runtime.executing.gate import Passage
from baton_dsl.runtime.executing.settle import Finished
from baton_dsl.runtime.executing.worker import FINAL, arguments_of, finished_of, journal_of, worker_of
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.dispatching import default_backoff
from baton_dsl.runtime.oban.threads import RUNS
from baton_dsl.runtime.values.names import worker_name
from baton_dsl.step import Step
from baton_dsl.testing.clock import Clock
from baton_dsl.testing.memory import Memory
from baton_dsl.testing.records import Records
from baton_dsl.testing.replacing import Answer, Replacements
from baton_dsl.testing.turns import NO_TURNS, Died, Turns
from baton_dsl.testing.views import SLOTS, status_of

MOST_STARTS: Final = 100_000
"""The most attempts of one run. If there are more, a step snoozes or is retried for ever."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a step's function, or of its replacement.

    Attributes:
        node: The step, or the item of a map: `orders[3]`.
        attempt: The number of the attempt.
        arguments: Its arguments, by name.
    """

    node: str
    attempt: int
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Engine:
    """Runs the jobs of one workflow on an event loop.

    Attributes:
        memory: The workflow.
        clock: The time.
        replacements: The replacements of steps.
        queues: How many jobs of each queue run at once.
        turns: Decides which step continues next, for an exploration.
        calls: All calls, in order.
        hook_errors: The exceptions of hooks, by name.
        records: The recorded calls of models.
    """

    memory: Memory
    clock: Clock
    replacements: Replacements
    queues: Mapping[str, int] = field(default_factory=dict)
    turns: Turns = NO_TURNS
    calls: list[Call] = field(default_factory=list)
    hook_errors: dict[str, BaseException] = field(default_factory=dict)
    records: Records = field(init=False)
    running: dict[str, tuple[Job, asyncio.Task[None]]] = field(default_factory=dict)
    starts: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _stalled: bool = False
    _told: set[str] = field(default_factory=set)
    _failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.records = Records(self.memory.budget)

    @property
    def is_in_threads(self) -> bool:
        """True while a thread runs a step."""
        return any(RUNS.awaits(job) for job, _ in self.running.values())

    def wake(self) -> None:
        """Check what may run, because something has changed."""
        self._changed.set()

    def stall(self) -> None:
        """Called when nothing can happen any more, although steps run."""
        self._stalled = True
        self._changed.set()

    async def drive(self, until: Callable[[], bool]) -> None:
        """Run the workflow until a condition is true, or nothing happens any more.

        Raises:
            RunError: BTN602, if it would run for ever.
        """
        while True:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            self.memory.stage()
            await self._tell_the_end()
            if until():
                return
            await self.turns.calm()
            if not self.turns.offer(self):
                self._start_all()
            if until():
                return
            due = self.memory.next_due()
            if not self.running and due is None:
                return
            if not self.running:
                assert due is not None
                self.clock.advance_to(due)
                continue
            await self._wait(due)

    def _start_all(self) -> None:
        for name in self.memory.available():
            if self.has_place(name) and not self.memory.waits_for_budget(name):
                self.start(name)

    def has_place(self, name: str) -> bool:
        """True if the queue of a job has a free slot."""
        queue = self.memory.jobs[name].template["queue"]
        taken = sum(self.memory.jobs[other].template["queue"] == queue for other in self.running)
        return bool(taken < self.queues.get(queue, SLOTS))

    def start(self, name: str) -> None:
        """Start a job, in its own context."""
        self.starts += 1
        if self.starts > MOST_STARTS:
            raise RunError(
                f'the run has started {MOST_STARTS:,} attempts and goes on; "{name}" was started last',
                remedy="look for a step that snoozes, or is retried, for ever",
            )
        job, passage = self.memory.start(name)
        bridge.let_be_cancelled(job)
        task = asyncio.get_running_loop().create_task(self._attempt(name, job, passage), context=Context())
        self.running[name] = (job, task)
        task.add_done_callback(lambda done: self._end(name, done))

    def _end(self, name: str, task: asyncio.Task[None]) -> None:
        if self.running.get(name, (None, None))[1] is task:
            del self.running[name]
        if not task.cancelled() and (error := task.exception()) is not None and self._failure is None:
            self._failure = error
        self._changed.set()

    async def _wait(self, due: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(due):
                await self._changed.wait()
        except TimeoutError:
            return
        if self._stalled:
            self._stalled = False
            raise RunError(
                f"{', '.join(sorted(self.running))} waits for something that never comes",
                remedy="replace the step, or what it waits for",
            )

    # --- one attempt -------------------------------------------------------------------------------------------------

    async def _attempt(self, name: str, job: Job, passage: Passage) -> None:
        """Run one attempt, and record how it ended, as Oban's executor and our worker do."""
        entry = next(it for it in self.memory.flow.entries if it.name == step_of(name))
        worker: Any = None
        try:
            if isinstance(entry.step, Step):
                worker = _worker_of(entry.step)
                given = await self._timed(worker, job, self._step(entry.step, job, passage))
            else:
                given = await self._plain(name, job)
        except (asyncio.CancelledError, Died):
            return
        except Exception as error:  # noqa: BLE001 - any exception of a step ends its attempt
            self._fail(name, job, worker, error)
            return
        if not self.turns.may_settle(name):
            return
        match given:
            case Finished(result=None, reason=reason):
                self.records.forget(job.id)
                self.memory.skip(name, reason or "")
            case Finished(result=result):
                self.records.forget(job.id)
                self.memory.complete(name, result or "null")
            case Cancel(reason=reason):
                self.memory.cancel(name, str(reason))
            case Snooze(seconds=seconds):
                self.memory.snooze(name, seconds)

    def _fail(self, name: str, job: Job, worker: Any, error: Exception) -> None:
        if not self.turns.may_settle(name):
            return
        text = "".join(traceback.format_exception(error))
        if job.attempt >= job.max_attempts:
            self.memory.fail(name, text, None)
            return
        backoff = worker.backoff(job) if hasattr(worker, "backoff") else default_backoff(job)
        self.memory.fail(name, text, backoff)

    async def _timed(self, worker: Any, job: Job, running: Any) -> Any:
        seconds = worker.timeout(job) if hasattr(worker, "timeout") else None
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await running
        except TimeoutError as error:
            if deadline.expired():
                raise JobTimeoutError(f"{job.worker} timed out after {seconds}s") from error
            raise

    async def _step(self, step: Step[..., Any, Any, Any], job: Job, passage: Passage) -> Finished | Cancel | Snooze:
        journal = journal_of(step, job, passage, lambda: self.records)
        try:
            arguments = arguments_of(step, job, passage, journal)
            value = await self._value(step, job, passage.node, arguments)
            return finished_of(step, job, passage, value, journal=journal)
        except FINAL:
            job.max_attempts = job.attempt
            raise
        finally:
            if journal is not None:
                await journal.close()

    async def _value(self, step: Step[..., Any, Any, Any], job: Job, node: str, arguments: dict[str, Any]) -> Any:
        answer = self._called(node, job, arguments)
        function = call(step, job, arguments) if answer is None else answer.give(step, job, arguments)
        is_sync = answer.is_sync if answer is not None else not step.is_async
        return await self.turns.run(node, function, is_sync=is_sync)

    def _called(self, node: str, job: Job, arguments: Mapping[str, Any]) -> Answer | None:
        """Record a call, and return its replacement, if any."""
        self.calls.append(Call(node, job.attempt, arguments))
        self._counts[node] += 1
        return self.replacements.answer(node, self._counts[node])

    async def _plain(self, name: str, job: Job) -> Finished | Cancel | Snooze:
        """Run a plain Oban job: call its worker as Oban does."""
        answer = self._called(name, job, dict(job.args))
        if answer is not None:
            given = await _given(answer.error, answer.value, answer.function, job)
        else:
            module, _, attribute = job.worker.rpartition(".")
            worker = getattr(import_module(module), attribute)()
            given = await self._timed(worker, job, worker.process(job))
        return given if isinstance(given, Cancel | Snooze) else Finished(job, "null")

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _tell_the_end(self) -> None:
        """Call the hooks of a workflow that has ended, each once."""
        outcome = self.memory.outcome
        if outcome is None:
            return
        for option, hook in self.memory.flow.settings.hooks().items():
            if option in self._told or option not in ("on_settled", f"on_{outcome}"):
                continue
            self._told.add(option)
            function = self.replacements.hook(hook)
            status = status_of(self.memory)
            try:
                with Contained(f'hook "{hook.__name__}"'):
                    if iscoroutinefunction(function):
                        await function(status)
                    else:
                        await asyncio.to_thread(function, status)
            except Exception as error:  # noqa: BLE001 - a hook that fails changes nothing
                self.hook_errors[hook.__name__] = error

    # --- actions on running jobs -------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Ask all running jobs to stop, as the cancellation of a workflow does."""
        for job, _ in self.running.values():
            if (asked := bridge.cancellation_of(job)) is not None:
                asked.set()

    async def kill(self, name: str) -> None:
        """Let the process of a job crash: its attempt does not continue."""
        _, task = self.running.pop(name)
        self.memory.crash(name)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        self._changed.set()

    async def close(self) -> None:
        """Abandon running jobs."""
        tasks = [task for _, task in self.running.values()]
        self.running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


def _worker_of(step: Step[..., Any, Any, Any]) -> Any:
    """The worker that Oban would create for a step, which has the timeout and the backoff."""
    return worker_of(step, worker_name(step))()


async def _given(error: Any, value: Any, function: Callable[..., Any] | None, job: Job) -> Any:
    if error is not None:
        raise error
    if function is None:
        return value
    given = function(job)
    return await given if asyncio.iscoroutine(given) else given
