"""Threads for sync steps. A thread whose step timed out can't be stopped, so it is counted as lost.

They are daemon threads, so the interpreter does not wait for them at its end. While a lost thread runs a job, the job
stays assigned to this process (see `is_running`), until the thread or the process has ended.
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
"""The most lost threads of a process. Each holds memory and what its step has open."""


@dataclass(eq=False, slots=True)
class Run:
    """A call of a function in a thread.

    Attributes:
        job: The job that is attempted.
        is_lost: Whether nobody waits for it any more.
    """

    job: Job
    is_lost: bool = False


class Threads(Executor):
    """An executor with as many daemon threads as are needed at once. The limits of the queues bound their number."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = 0
        self._started = 0

    def submit[**P, T](self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in an idle thread, or in a new one if none is idle."""
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
        """Do nothing: the threads end with the process."""

    def _serve(self) -> None:
        while True:
            self._run(*self._work.get())
            with self._lock:
                self._idle += 1

    @staticmethod
    def _run(future: Future[Any], function: Callable[[], Any]) -> None:
        """A separate function, so that an idle thread holds no reference to what it ran last."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - the waiting caller gets it
            future.set_exception(error)
        else:
            future.set_result(result)


class Runs:
    """The functions that threads of this process run.

    Attributes:
        at_most_lost: Called, from any thread, when too many are lost.
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
        """The number of lost threads."""
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
        """True from when a job is passed to a thread until the caller has its result."""
        return any(run.job is job for run in tuple(self._awaited))

    async def run[T](self, function: Callable[[], T], job: Job) -> T:
        """Run a function in a thread.

        Args:
            function: The function.
            job: The job that is attempted.
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
        except BaseException:  # no thread can be started
            self._runs.discard(run)
            raise
        self._awaited.add(run)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                self._runs.discard(run)  # it has not started
            else:
                self._lose(run)
            raise
        finally:
            self._awaited.discard(run)

    def _lose(self, run: Run) -> None:
        with self._lock:
            if run not in self._runs:
                return  # it has just ended
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
