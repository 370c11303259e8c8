"""All that baton-dsl knows of oban beyond its public API. `tests/integration/test_bridge.py` fails when oban changes.

| what | where in oban | why |
| --- | --- | --- |
| the instance that runs a job | `oban.oban._instances`, `check_all_queues()` | a worker gets only its job |
| pool, prefix, notifier of an instance | `Oban._query`, `Oban._notifier` | gate and settle use the caller's own pool |
| dropping acks | the extension point `query.ack_jobs` | a settle has completed the job already |
| starting a claimed job | `Producer._dispatcher`, `_running_jobs`, `_on_job_complete` | it needs no fetch |
| fetches and acks that failed | `producer.get_jobs`, `Producer._pending_acks`, `_loop_task` | see `Fetches`, `nudge` |
| a producer's first sign of life | extension points `producer.init`, `producer.restore` | it says that a guard comes |
| a companion of an instance | extension point `refresher.build`, `Oban._refresher` | it starts and stops with it |
| hearing of cancellations while it stops | `Oban._notifier.stop`, `_shutdown_grace_period` | it stops listening first |
| who listens to an event | `telemetry.core._handlers` | where nobody does, ends are not asked for |
| who asks a job to stop | `Job._cancellation`, an `asyncio.Event` | `Job.cancelled()` can only be polled |
| the usual backoff | `_backoff.jittery_clamped` | what runs in memory waits as long |
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast
from weakref import WeakSet

import oban.oban
import psycopg
from oban import Job, Oban
from oban._backoff import jittery_clamped
from oban._executor import AckAction
from oban._extensions import get_ext, put_ext
from oban._producer import Producer, _get_jobs, _init
from oban._query import Query, _ack_jobs
from oban._refresher import build_refresher
from oban.telemetry import core as telemetry_core
from psycopg import sql
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from baton_dsl.core.wording import storable
from baton_dsl.errors import ObanNotFoundError
from baton_dsl.runtime.instances import Instance, Notifier
from baton_dsl.runtime.jobs import name_of
from baton_dsl.runtime.pools import Pool, autocommit, kept_alive, rewatch
from baton_dsl.runtime.silence import WatchedConnection
from baton_dsl.runtime.threads import RUNS

logger = logging.getLogger(__name__)


def instance(name: str) -> Oban:
    """The Oban instance of that name in this process.

    Raises:
        ObanNotFoundError: If there is none.
    """
    try:
        return Oban.get_instance(name)
    except RuntimeError as error:
        raise ObanNotFoundError(f'no Oban instance "{name}" in this process') from error


def instance_of(job: Job) -> Oban:
    """The Oban instance whose producer fetched a job; the only one there is, if its producer can't be told.

    Raises:
        ObanNotFoundError: If there is none, or several of which none can be told.
    """
    instances: list[Oban] = list(oban.oban._instances.values())
    if len(job.attempted_by) > 1:
        for candidate in instances:
            if any(queue.uuid == job.attempted_by[1] for queue in candidate.check_all_queues()):
                return candidate
    if len(instances) == 1:
        return instances[0]
    raise ObanNotFoundError(f"job {job.id} was fetched by no Oban instance of this process")


def pool_of(instance: Oban) -> Pool:
    """The connection pool that the instance was given."""
    return cast("Pool", instance._query._pool)


def prefix_of(instance: Oban) -> str:
    """The schema of the instance's tables."""
    return instance._query._prefix


def notifier_of(instance: Oban) -> Notifier:
    """The instance's notifier."""
    return cast("Notifier", instance._notifier)


def described(instance: Oban) -> Instance:
    """An instance, for code that works without Oban too."""
    return Instance(pool_of(instance), prefix_of(instance), notifier_of(instance), is_started(instance))


def is_heard(event: str) -> bool:
    """True if this process has a handler for a telemetry event."""
    return bool(telemetry_core._handlers.get(event))


def is_started(instance: Oban) -> bool:
    """True while the instance runs, so that its notifier hears."""
    return instance._signal_token is not None


def has_place(instance: Oban, job: Job) -> bool:
    """True if a job that takes the place of a finishing one may start: its queue runs, and is not paused or stopping.

    `BATON_CLAIM=off` turns it off: then every job is fetched by Oban's producer.
    """
    producer = instance._producers.get(job.queue)
    return (
        producer is not None
        and os.environ.get("BATON_CLAIM") != "off"
        and not RUNS.are_too_many_lost
        and not producer._paused
        and not producer._stopping.is_set()
        and len(producer._running_jobs) <= producer._limit
    )


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
    task.add_done_callback(lambda _: producer._on_job_complete(job_id))
    producer._running_jobs[job_id] = (job, task)


def _dispatch_after(task: asyncio.Task[None], producer: Producer, job: Job) -> None:
    """Start a job once an attempt before it has ended, unless its queue stops by then: others take it up later."""

    def start(_: object) -> None:  # after the producer's own callback, which forgets the attempt
        if not producer._stopping.is_set():
            _dispatch(producer, job)

    task.add_done_callback(start)


@dataclass(frozen=True, slots=True)
class RunningProducer:
    """One queue of one process, as others know it."""

    producer: Producer

    @property
    def uuid(self) -> str:
        """The second item of `attempted_by` of the jobs that it runs."""
        return str(self.producer._uuid)

    @property
    def grace(self) -> float | None:
        """Seconds that its jobs get when it stops; None if it waits for them however long they take."""
        return self.producer._shutdown_grace_period

    @property
    def is_busy(self) -> bool:
        """True while a job of it runs, be it in a thread for which nobody waits any more."""
        return bool(self.producer._running_jobs) or RUNS.is_running(self.uuid)

    def running(self) -> list[tuple[Job, asyncio.Task[None]]]:
        """The jobs that it has started, each with its task, but for what a lost thread runs."""
        return list(self.producer._running_jobs.values())

    def loop(self) -> list[asyncio.Task[None]]:
        """The task that fetches; it ends before the jobs that run are waited for."""
        task = cast("asyncio.Task[None] | None", self.producer._loop_task)
        return [task] if task is not None else []

    def ask_to_stop(self, job_id: int) -> None:
        """Tell a job that it was cancelled, if this producer runs it."""
        job, _ = self.producer._running_jobs.get(job_id, (None, None))
        if job is not None:
            self.producer._dispatcher.cancel(self.producer, job)

    def nudge(self) -> None:
        """Let it try again, from any thread, what failed with a connection.

        Oban's producer waits for the next notification to do so, and in a quiet queue there is none.
        """
        task = cast("asyncio.Task[None] | None", self.producer._loop_task)
        if task is not None and (self.producer._pending_acks or FETCHES.is_in_doubt(self.producer)):
            loop = task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.producer.notify)


def running_jobs(instance: Oban) -> list[Job]:
    """What an instance runs, and what threads of this process run for which somebody waits. From any thread."""
    started = [
        job for producer in list(instance._producers.values()) for job, _ in list(producer._running_jobs.values())
    ]
    ids = {job.id for job in started}
    return started + [job for job in RUNS.jobs() if job.id not in ids]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs beside it needs of an Oban instance: its database, and the producers that it has at the moment."""

    query: Query
    by_queue: Mapping[str, Producer]

    @property
    def prefix(self) -> str:
        """The schema."""
        return self.query._prefix

    @property
    def pool(self) -> Pool:
        """The connection pool that the instance was given."""
        return cast("Pool", self.query._pool)

    @property
    def notifier(self) -> Notifier:
        """The instance's notifier: that of its producers, of which it has one when a companion starts."""
        return cast("Notifier", next(iter(self.by_queue.values()))._notifier)

    def producers(self) -> list[RunningProducer]:
        """The producers, without those whose queue was stopped."""
        return [RunningProducer(producer) for producer in list(self.by_queue.values())]

    def listening_connection(self) -> psycopg.AsyncConnection[Any] | None:
        """The connection on which the notifier listens, if it has one at the moment."""
        conn = getattr(self.notifier, "_conn", None)
        return conn if isinstance(conn, psycopg.AsyncConnection) else None

    def all_producers(self) -> list[RunningProducer]:
        """Those that have fetched, also if their queue was stopped: their jobs may run still."""
        return [RunningProducer(producer) for producer in list(FETCHES.seen) if producer._query is self.query]

    def hold_notifier(self, until: Callable[[], Awaitable[None]]) -> None:
        """Have the notifier stop after something else: Oban stops it at once, while jobs run still."""
        notifier: Any = self.notifier
        stop = notifier.stop

        async def held() -> None:
            await until()
            await stop()

        notifier.stop = held

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own to the database of the pool."""
        dsn = kept_alive(asyncio.run(self.query.dsn()))
        return Impatient.connect(dsn, **_options(self.pool), autocommit=True)


class Impatient(WatchedConnection):
    """For what must be heard every second."""

    patience = 1.0


_OF_ASYNC: Final = frozenset(["autocommit", "connection_class", "cursor_factory", "row_factory"])
"""Arguments of a pool's connections that mean nothing to a plain one."""


def _options(pool: AsyncConnectionPool[Any]) -> dict[str, Any]:
    given = pool.kwargs
    return {name: value for name, value in given.items() if name not in _OF_ASYNC} if isinstance(given, dict) else {}


async def connecting_of(instance: Oban) -> dict[str, Any]:
    """The arguments with which psycopg connects to the database of the instance, as its pool does at this moment."""
    return {**_options(instance._query._pool), "conninfo": kept_alive(await instance._query.dsn())}


class Companion(Protocol):
    """What starts and stops with an instance."""

    def start(self) -> None:
        """The instance starts."""

    def retire(self) -> None:
        """The instance stops; its jobs may go on for a while."""


class Accompanied:
    """Oban's refresher, with something beside it that starts and stops with it."""

    def __init__(self, refresher: Any, running: Running, make: Callable[[Running], Companion]) -> None:
        self._refresher = refresher
        self._running = running
        self._make = make
        self._companion: Companion | None = None
        self.at_stop: list[Callable[[], Awaitable[None]]] = []

    def ensure(self) -> None:
        """Start the companion if there is a queue, unless it runs."""
        if self._companion is None and self._running.by_queue:
            rewatch(self._running.pool)
            self._companion = self._make(self._running)
            self._companion.start()

    async def start(self) -> None:
        """As Oban's."""
        self.ensure()
        await self._refresher.start()

    async def stop(self) -> None:
        """As Oban's."""
        if self._companion is not None:
            self._companion.retire()
            self._companion = None
        while self.at_stop:
            await self.at_stop.pop()()
        await self._refresher.stop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._refresher, name)


_companions: Final[list[Callable[[Running], Companion]]] = []


def accompany_all(make: Callable[[Running], Companion]) -> None:
    """Make a companion for every instance of this process that is made from now on; once, however often it is called.

    Their producers say so as soon as they are there: one that dies before its companion works is known to be gone.
    """
    if make in _companions:
        return
    _companions.append(make)
    FETCHES.install()
    for name in ("producer.init", "producer.restore"):
        put_ext(name, _announced(get_ext(name, _init)))
    build = get_ext("refresher.build", build_refresher)

    def accompanied(config: dict[str, Any], *, producers: dict[str, Producer], query: Query, **others: Any) -> Any:
        refresher = build(config, producers=producers, query=query, **others)
        return Accompanied(refresher, Running(query, producers), make)

    put_ext("refresher.build", accompanied)


def _announced(facts: Callable[[Producer], dict[str, Any]]) -> Callable[[Producer], dict[str, Any]]:
    return lambda producer: facts(producer) | {"baton_guarded": "soon"}


def accompany(instance: Oban, make: Callable[[Running], Companion]) -> None:
    """Make a companion for an instance that runs, unless it has one."""
    FETCHES.install()
    FETCHES.seen.update(instance._producers.values())
    if not isinstance(instance._refresher, Accompanied):
        running = Running(instance._query, instance._producers)
        instance._refresher = Accompanied(instance._refresher, running, make)
    instance._refresher.ensure()


_STRAYS: Final = """
SELECT id, state, queue, worker, attempt, max_attempts, priority, args, meta, errors, tags, attempted_by, inserted_at,
    attempted_at, scheduled_at
FROM {}
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
        table = sql.Identifier(query._prefix, "oban_jobs")
        values = [producer._queue, [producer._node, producer._uuid], _known(producer)]
        async with autocommit(cast("Pool", query._pool)) as conn:
            cursor = conn.cursor(row_factory=class_row(Job))
            found = await (await cursor.execute(sql.SQL(_STRAYS).format(table), values)).fetchall()
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
    return [*producer._running_jobs, *(action.job.id for action in acks if action.job.id is not None)]


FETCHES: Final = Fetches()


def at_stop(instance: Oban, close: Callable[[], Awaitable[None]]) -> None:
    """Have something closed when an instance that is accompanied stops; its jobs may go on for a while."""
    assert isinstance(instance._refresher, Accompanied)
    instance._refresher.at_stop.append(close)


def cancellation_of(job: Job) -> asyncio.Event | None:
    """What is set when somebody asks a running job to stop; None for a job that no producer has started."""
    return job._cancellation


def let_be_cancelled(job: Job) -> None:
    """Give a job what a producer gives it at its start, so that it can be asked to stop."""
    job._cancellation = asyncio.Event()


def default_backoff(job: Job) -> int:
    """Seconds until the next attempt of a job whose worker says nothing of it."""
    return jittery_clamped(job.attempt, job.max_attempts)


_DONE: Final = "baton_done"
"""The key of a job's `extra` (which is not stored) that says that a settle has completed it."""


class Acknowledged:
    """Jobs that a settle has completed, whose ack by Oban would be one round trip each for nothing.

    Installed at Oban's extension point `query.ack_jobs`, around whatever is there. It drops exactly those acks, and
    hands all others on. `BATON_ACK=oban` turns it off: then every job is acked by Oban as well, which changes nothing.
    """

    def __init__(self) -> None:
        self._next: Callable[[Query, list[AckAction]], Awaitable[list[int]]] | None = None

    def install(self) -> None:
        """Put it in its place, once."""
        if self._next is None and os.environ.get("BATON_ACK") != "oban":
            self._next = get_ext("query.ack_jobs", _ack_jobs)
            put_ext("query.ack_jobs", self.ack)

    def add(self, job: Job) -> None:
        """A settle has completed this attempt of the job.

        The job itself remembers it: an id would be that of other jobs too, in another schema or database.
        """
        if self._next is not None:
            job.extra[_DONE] = True

    async def ack(self, query: Query, acks: Sequence[AckAction]) -> list[int]:
        """Oban's ack, without those that are done."""
        done: list[int] = []
        rest: list[AckAction] = []
        for action in acks:
            job = action.job
            if job.id is not None and action.state == "completed" and _DONE in job.extra:
                done.append(job.id)
            else:
                rest.append(_readable(action))
        assert self._next is not None
        return done + (await self._next(query, rest) if rest else [])


def _readable(action: AckAction) -> AckAction:
    """An ack whose error PostgreSQL can store. Oban would try one that it can't for ever, and all others with it."""
    if action.error is None:
        return action
    error = {key: storable(value) if isinstance(value, str) else value for key, value in action.error.items()}
    return action if error == action.error else replace(action, error=error)


ACKNOWLEDGED: Final = Acknowledged()
