"""Threads for sync steps. A thread whose step timed out can't be stopped, so it is counted and blocks nobody.

They are daemons: the interpreter does not wait for them at its end. What a thread still runs keeps its job with this
process all the same (see `is_running`), until the thread or the process has ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from baton_dsl.runtime.oban.jobs import name_of

if TYPE_CHECKING:
    from oban import Job

logger = logging.getLogger(__name__)

MOST_LOST: Final = 100
"""Lost threads that a process bears. Each holds memory, and whatever its step has open."""


@dataclass(eq=False, slots=True)
class Run:
    """A function that a thread runs, or will run.

    Attributes:
        job: The job that it is an attempt of.
        is_lost: True once nobody waits for it any more.
    """

    job: Job
    is_lost: bool = False


class Threads(Executor):
    """As many daemon threads as are needed at once; Oban's queue limits are what bounds them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = 0
        self._started = 0

    def submit[**P, T](self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a thread that is idle, or else in a new one."""
        future: Future[T] = Future()
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()
                self._started += 1
        self._work.put((future, lambda: function(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the threads end with the process."""

    def _serve(self) -> None:
        while True:
            self._run(*self._work.get())
            with self._lock:
                self._idle += 1

    @staticmethod
    def _run(future: Future[Any], function: Callable[[], Any]) -> None:
        """In a function of its own: an idle thread keeps nothing alive of what it ran last."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)


class Runs:
    """What the threads of this process run.

    Attributes:
        at_most_lost: Is called, from any thread, when too many are lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = Threads("baton-step")
        self._runs: set[Run] = set()
        self._awaited: set[Run] = set()
        self._lost = 0
        self.at_most_lost: Callable[[], object] = lambda: None

    @property
    def lost(self) -> int:
        """How many threads still run what nobody waits for."""
        return self._lost

    @property
    def are_too_many_lost(self) -> bool:
        """True if this process should take no further jobs."""
        return self._lost >= MOST_LOST

    def is_running(self, producer: str) -> bool:
        """True while a thread runs a job that a producer, named by its uuid, has fetched."""
        return any(producer in run.job.attempted_by for run in tuple(self._runs))

    def jobs(self) -> list[Job]:
        """The jobs that threads run, without the lost ones."""
        return [run.job for run in tuple(self._runs) if not run.is_lost]

    def awaits(self, job: Job) -> bool:
        """True from the moment in which a job is given to a thread until its result is seen by who gave it."""
        return any(run.job is job for run in tuple(self._awaited))

    async def run[T](self, function: Callable[[], T], job: Job) -> T:
        """Run a function in a thread.

        Args:
            function: What to run.
            job: The job that it is an attempt of.
        """
        run = Run(job)

        def in_thread() -> T:
            try:
                return function()
            finally:
                self._end(run)

        self._runs.add(run)
        try:
            future = self._threads.submit(in_thread)
        except BaseException:  # no thread is to be had
            self._runs.discard(run)
            raise
        self._awaited.add(run)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                self._runs.discard(run)  # it was not started
            else:
                self._lose(run)
            raise
        finally:
            self._awaited.discard(run)

    def _lose(self, run: Run) -> None:
        with self._lock:
            if run not in self._runs:
                return  # it ends in this very moment
            run.is_lost = True
            self._lost += 1
            lost = self._lost
        logger.warning(
            "%s was given up, but its thread goes on: %d thread%s of this process %s lost",
            *(name_of(run.job), lost, *(("", "is") if lost == 1 else ("s", "are"))),
        )
        if self.are_too_many_lost:
            logger.error("%d threads are lost: this process takes no further jobs until some of them end", lost)
            self.at_most_lost()

    def _end(self, run: Run) -> None:
        with self._lock:
            self._runs.discard(run)
            self._lost -= run.is_lost


RUNS: Final = Runs()
