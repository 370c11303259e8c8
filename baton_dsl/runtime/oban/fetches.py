"""Track the jobs that a process has fetched or claimed, so that each starts once, even if an answer was lost.

Part of the bridge to oban, as `dispatching` and `acks` are:

| what | where in oban | why |
| --- | --- | --- |
| starting a claimed job | `Producer._dispatcher`, `_running_jobs`, `_on_job_complete` | it needs no fetch |
| fetching | the extension point `producer.get_jobs`, `_get_jobs` | finds jobs whose fetch had no answer |
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
    """Start a claimed job as its producer starts a fetched one, unless this attempt runs or has run already.

    If an earlier attempt, which its gate put back, is about to end, the job starts after that.
    """
    producer = instance._producers.get(job.queue)
    if producer is None:  # the queue has just been stopped: the lifeline returns the job to its queue
        logger.warning("queue %s was stopped, so job %s does not start here; it is rescued later", job.queue, job.id)
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
"""The key in a job's `extra` that says that its settle has claimed another job for its slot."""
MOST_ACKS: Final = 50
"""The most ends of attempts that wait to be acknowledged with the next fetch."""


def _complete(producer: Producer, job_id: int) -> None:
    """As `Producer._on_job_complete`, but without a fetch if no slot has become free."""
    job, _ = producer._running_jobs.get(job_id, (None, None))
    if job is not None and PLACE_TAKEN in job.extra and len(producer._pending_acks) < MOST_ACKS:
        del producer._running_jobs[job_id]
    else:
        producer._on_job_complete(job_id)


def _dispatch_after(task: asyncio.Task[None], producer: Producer, job: Job) -> None:
    """Start a job after an earlier attempt has ended. If its queue stops before, another process runs it later."""

    def start(_: object) -> None:  # runs after the producer's own callback, which removes the attempt
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
"""Seconds for which a statement whose answer was lost may still run in the server."""


class Fetches:
    """Finds jobs that a producer fetched by a statement whose answer was lost with its connection.

    Such jobs run nowhere, and nobody rescues them, because their producer is alive. So after a failed fetch, a producer
    first looks for jobs that are assigned to it but that it does not know. Plain jobs are left to Oban's lifeline.
    """

    def __init__(self) -> None:
        self.seen: WeakSet[Producer] = WeakSet()
        self._failed: dict[str, float] = {}
        self._next: Callable[[Producer], Awaitable[list[Job]]] | None = None

    def install(self) -> None:
        """Install it at Oban's extension point `producer.get_jobs`, once."""
        if self._next is None:
            self._next = get_ext("producer.get_jobs", _get_jobs)
            put_ext("producer.get_jobs", self.fetch)

    def is_in_doubt(self, producer: Producer) -> bool:
        """True if a fetch of the producer failed recently."""
        return producer._uuid in self._failed

    def doubt(self, instance: Oban, queues: Iterable[str]) -> None:
        """Remember that a settle failed but may have claimed jobs of these queues."""
        for queue in queues:
            if (producer := instance._producers.get(queue)) is not None:
                self._failed[producer._uuid] = time.monotonic()

    async def fetch(self, producer: Producer) -> list[Job]:
        """Fetch as Oban does, but first return jobs of a lost answer. Fetch nothing if too many threads are lost."""
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
        known = _known(producer)  # a settle may have started its claimed jobs meanwhile
        strays = [job for job in found if job.id not in known]
        for job in strays:
            logger.warning("job %s was fetched by a statement whose answer was lost; it starts now", job.id)
        return strays


def _runs_here(producer: Producer, job: Job) -> bool:
    """Whether an attempt of the job still runs here. If so, the next one starts after it.

    This happens if this process was believed dead, or somebody put the job back by hand.
    """
    _, task = producer._running_jobs.get(job.id, (None, None))
    if task is None:
        return False
    logger.warning("%s was fetched while an attempt of it still runs here; it starts after that", name_of(job))
    _dispatch_after(task, producer, job)
    return True


def _is_same_attempt(job: Job, other: Job | None) -> bool:
    """Compare attempts by their start, because an attempt that its gate put back does not use up its number."""
    return other is not None and other.id == job.id and other.attempted_at == job.attempted_at


def _known(producer: Producer) -> list[int]:
    """The jobs that run, or that have run and are not acknowledged yet."""
    acks: list[AckAction] = producer._pending_acks
    pending = [action.job.id for action in acks if action.job.id is not None]
    return [*producer._running_jobs, *pending, *ACKNOWLEDGEMENTS.refused(producer._query)]


FETCHES: Final = Fetches()
