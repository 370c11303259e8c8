"""Track the jobs that a process has fetched or claimed. Each starts once, even if an answer was lost.

Part of the bridge to oban, as `dispatching` and `acks` are:

| what | where in oban | why |
| --- | --- | --- |
| starting a claimed job | `Producer._dispatcher`, `_running_jobs`, `_on_job_complete` | it needs no fetch |
| fetching | the extension point `producer.get_jobs`, `_get_jobs` | what an answer that was lost has left behind |
| what a producer runs | `Producer._running_jobs`, `_pending_acks` | no attempt starts twice |
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, cast
from weakref import WeakSet

import psycopg
from oban import Job, Oban
from oban._executor import AckAction
from oban._extensions import get_ext, put_ext
from oban._producer import Producer, _get_jobs
from psycopg.rows import class_row

from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.oban.acks import ACKNOWLEDGEMENTS
from baton_dsl.runtime.oban.jobs import name_of
from baton_dsl.runtime.oban.threads import RUNS
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)


def dispatch(instance: Oban, job: Job) -> None:
    """Start a claimed job as its queue's producer starts a fetched one, unless this attempt runs already, or has run.

    An attempt before it, which its gate put back, may be about to end: then it starts after that.
    """
    producer = instance._producers.get(job.queue)
    if producer is None:  # the queue was stopped in this very moment: the lifeline returns the job
        logger.warning("queue %s was stopped; job %s is rescued later", job.queue, job.id)
        return
    _dispatch(producer, job)


def _dispatch(producer: Producer, job: Job) -> None:
    job_id = job.id
    assert job_id is not None
    before, task = producer._running_jobs.get(job_id, (None, None))
    acks: list[AckAction] = producer._pending_acks
    if any(_is_same_attempt(job, other) for other in (before, *(action.job for action in acks))):
        return
    if task is not None:
        _dispatch_after(task, producer, job)
        return
    task = producer._dispatcher.dispatch(producer, job)
    task.add_done_callback(lambda _: _complete(producer, job_id))
    producer._running_jobs[job_id] = (job, task)


PLACE_TAKEN: Final = "baton_place_taken"
"""The key of a job's `extra` that says that its settle has claimed another job for its place."""
MOST_ACKS: Final = 50
"""Ends of attempts that wait for a fetch, with which they are told to Oban."""


def _complete(producer: Producer, job_id: int) -> None:
    """As `Producer._on_job_complete`, but that it fetches nothing where no place has become free."""
    job, _ = producer._running_jobs.get(job_id, (None, None))
    if job is not None and PLACE_TAKEN in job.extra and len(producer._pending_acks) < MOST_ACKS:
        del producer._running_jobs[job_id]
    else:
        producer._on_job_complete(job_id)


def _dispatch_after(task: asyncio.Task[None], producer: Producer, job: Job) -> None:
    """Start a job once an attempt before it has ended, unless its queue stops by then: others take it up later."""

    def start(_: object) -> None:  # after the producer's own callback, which forgets the attempt
        if not producer._stopping.is_set():
            _dispatch(producer, job)

    task.add_done_callback(start)


_STRAYS: Final = """
SELECT id, state, queue, worker, attempt, max_attempts, priority, args, meta, errors, tags, attempted_by, inserted_at,
    attempted_at, scheduled_at
FROM baton.oban_jobs
WHERE state = 'executing' AND queue = %s AND attempted_by = %s AND meta ? 'workflow_id' AND id <> ALL(%s)
"""
DOUBT: Final = 5.0
"""Seconds for which a statement whose answer was lost may still go on in the server."""


class Fetches:
    """What producers have fetched, also when the answer was lost with its connection.

    Such jobs run nowhere, and nobody else would take them: their producer lives. So after a fetch that failed, a
    producer first looks for jobs that are its own without its knowing. Those of no workflow are left to the lifeline.
    """

    def __init__(self) -> None:
        self.seen: WeakSet[Producer] = WeakSet()
        self._failed: dict[str, float] = {}
        self._next: Callable[[Producer], Awaitable[list[Job]]] | None = None

    def install(self) -> None:
        """Put it in its place, Oban's extension point `producer.get_jobs`, once."""
        if self._next is None:
            self._next = get_ext("producer.get_jobs", _get_jobs)
            put_ext("producer.get_jobs", self.fetch)

    def is_in_doubt(self, producer: Producer) -> bool:
        """True if a fetch of the producer failed of late."""
        return producer._uuid in self._failed

    def doubt(self, instance: Oban, queues: Iterable[str]) -> None:
        """A settle failed that may have claimed jobs of these queues all the same."""
        for queue in queues:
            if (producer := instance._producers.get(queue)) is not None:
                self._failed[producer._uuid] = time.monotonic()

    async def fetch(self, producer: Producer) -> list[Job]:
        """As Oban's, after what an earlier one may have left behind; nothing once too many threads are lost."""
        self.seen.add(producer)
        await ACKNOWLEDGEMENTS.again(producer._query)
        if RUNS.are_too_many_lost:
            return []
        failed = self._failed.get(producer._uuid)
        if failed is not None:
            asked = time.monotonic()
            found = await self._strays(producer)
            if asked > failed + DOUBT:
                del self._failed[producer._uuid]
            if found:
                return found
        assert self._next is not None
        try:
            fetched = await self._next(producer)
        except psycopg.Error:
            self._failed[producer._uuid] = time.monotonic()
            raise
        return [job for job in fetched if not _runs_here(producer, job)]

    async def _strays(self, producer: Producer) -> list[Job]:
        query = producer._query
        values = [producer._queue, [producer._node, producer._uuid], _known(producer)]
        async with autocommit(cast("Pool", query._pool)) as conn:
            cursor = conn.cursor(row_factory=class_row(Job))
            found = await (await cursor.execute(statement(_STRAYS, query._prefix), values)).fetchall()
        known = _known(producer)  # a settle may have started what it claimed meanwhile
        strays = [job for job in found if job.id not in known]
        for job in strays:
            logger.warning("job %s was fetched by a statement whose answer was lost; it starts now", job.id)
        return strays


def _runs_here(producer: Producer, job: Job) -> bool:
    """Whether an attempt of the job runs here still, in which case the next one starts after it.

    Somebody took this process for dead, or put the job back by hand.
    """
    _, task = producer._running_jobs.get(job.id, (None, None))
    if task is None:
        return False
    logger.warning("%s was fetched while an attempt of it runs here; it starts after that", name_of(job))
    _dispatch_after(task, producer, job)
    return True


def _is_same_attempt(job: Job, other: Job | None) -> bool:
    """By their start: an attempt that its gate puts back does not count, so the next one has its number."""
    return other is not None and other.id == job.id and other.attempted_at == job.attempted_at


def _known(producer: Producer) -> list[int]:
    """The jobs that run, or have run and are to be acknowledged."""
    acks: list[AckAction] = producer._pending_acks
    pending = [action.job.id for action in acks if action.job.id is not None]
    return [*producer._running_jobs, *pending, *ACKNOWLEDGEMENTS.refused(producer._query)]


FETCHES: Final = Fetches()
