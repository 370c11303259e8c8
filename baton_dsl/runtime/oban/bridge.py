"""Use the parts of Oban that are not in its public API. `tests/integration/test_bridge.py` fails when they change.

`dispatching` has the start of attempts, `fetches` the fetched and claimed jobs, and `acks` the ends of attempts.
Everything else is here:

| what | where in oban | why |
| --- | --- | --- |
| the instance that runs a job | `oban.oban._instances`, `Oban._producers` | a worker gets only its job |
| pool, prefix, notifier of an instance | `Oban._query`, `Oban._notifier` | gate and settle use the instance's pool |
| fetches and acks that failed | `Producer._pending_acks`, `_loop_task` | see `nudge` |
| a producer's first sign of life | extension points `producer.init`, `producer.restore` | it announces a guard |
| a companion of an instance | extension point `refresher.build`, `Oban._refresher` | it lives with the instance |
| where the notifier listens | extension point `notifier.build`, `Query.dsn()` | the pool's server may be a pooler |
| cancellations while it stops | `Oban._notifier.stop`, `_shutdown_grace_period` | it stops listening first |
| who listens to an event | `telemetry.core._handlers` | without a handler, ends are not read |
| asking a job to stop | `Job._cancellation`, an `asyncio.Event` | `Job.cancelled()` can only be polled |
| the usual backoff | `_backoff.jittery_clamped` | runs in memory use the same one |
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import oban.oban
import psycopg
from oban import Job, Oban
from oban._extensions import get_ext, put_ext
from oban._notifier import build_notifier
from oban._producer import Producer, _init
from oban._query import Query
from oban._refresher import build_refresher
from oban.telemetry import core as telemetry_core
from psycopg_pool import AsyncConnectionPool

from baton_dsl.errors import ObanNotFoundError
from baton_dsl.runtime.database.instances import Instance, Notifier
from baton_dsl.runtime.database.pooling import DIRECT
from baton_dsl.runtime.database.pools import Pool, kept_alive, rewatch
from baton_dsl.runtime.database.silence import WatchedConnection
from baton_dsl.runtime.oban.acks import ACKNOWLEDGEMENTS
from baton_dsl.runtime.oban.dispatching import context_of, isolate, isolate_running, remember
from baton_dsl.runtime.oban.fetches import FETCHES, PLACE_TAKEN
from baton_dsl.runtime.oban.threads import RUNS

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
    """The Oban instance whose producer fetched a job; if that is unknown, the only instance.

    Raises:
        ObanNotFoundError: If there is none, or several and the producer is unknown.
    """
    instances: list[Oban] = list(oban.oban._instances.values())
    if len(job.attempted_by) > 1:
        for candidate in instances:
            producers = candidate._producers
            own = producers.get(job.queue)  # nearly always that one
            if any(it._uuid == job.attempted_by[1] for it in (*filter(None, [own]), *producers.values())):
                return candidate
    if len(instances) == 1:
        return instances[0]
    raise ObanNotFoundError(f"job {job.id} was fetched by no Oban instance of this process")


def forget(instance: Oban) -> None:
    """Release the name of an instance that has stopped, because Oban keeps it for ever."""
    oban.oban._instances.pop(instance._name, None)


def runs_jobs() -> bool:
    """True if an Oban instance of this process has queues."""
    return any(instance.check_all_queues() for instance in list(oban.oban._instances.values()))


def pool_of(instance: Oban) -> Pool:
    """The connection pool of the instance."""
    return cast("Pool", instance._query._pool)


def prefix_of(instance: Oban) -> str:
    """The schema of the instance's tables."""
    return instance._query._prefix


def notifier_of(instance: Oban) -> Notifier:
    """The instance's notifier."""
    return cast("Notifier", instance._notifier)


def hears(instance: Oban) -> bool:
    """True while the notifier of the instance has a connection on which it listens."""
    conn = getattr(instance._notifier, "_conn", None)
    return conn is not None and not conn.closed


def described(instance: Oban) -> Instance:
    """Wrap an instance for code that also works without Oban."""
    return Instance(pool_of(instance), prefix_of(instance), notifier_of(instance), is_started(instance))


def is_heard(event: str) -> bool:
    """True if this process has a handler for a telemetry event."""
    return bool(telemetry_core._handlers.get(event))


def is_started(instance: Oban) -> bool:
    """True while the instance runs, so that its notifier listens."""
    return instance._signal_token is not None


def started_in(instance: Oban) -> Context:
    """A copy of the context in which the instance was started, without context variables of any step."""
    return context_of(instance._query)


def has_place(instance: Oban, queue: str) -> bool:
    """True if a promoted job may start in the slot of a finished one: its queue runs, and is not paused or stopping.

    `BATON_CLAIM=off` turns this off: then Oban's producer fetches every job.
    """
    producer = instance._producers.get(queue)
    return (
        producer is not None
        and os.environ.get("BATON_CLAIM") != "off"
        and not RUNS.are_too_many_lost
        and not producer._paused
        and not producer._stopping.is_set()
        and _uses(producer) <= producer._limit
    )


def _uses(producer: Producer) -> int:
    """The slots in use. A job whose settle has claimed another one for its slot is about to end, and not counted."""
    running = producer._running_jobs.values()
    if len(running) <= producer._limit:
        return len(running)
    return sum(PLACE_TAKEN not in job.extra for job, _ in running)


@dataclass(frozen=True, slots=True)
class RunningProducer:
    """One queue of one process, with what other modules need to know about it."""

    producer: Producer

    @property
    def uuid(self) -> str:
        """The second item of `attempted_by` of the jobs that it runs."""
        return str(self.producer._uuid)

    @property
    def grace(self) -> float | None:
        """Seconds that its jobs get when it stops; None if it waits without limit."""
        return self.producer._shutdown_grace_period

    @property
    def is_busy(self) -> bool:
        """True while one of its jobs runs, even in a lost thread."""
        return bool(self.producer._running_jobs) or RUNS.is_running(self.uuid)

    def running(self) -> list[tuple[Job, asyncio.Task[None]]]:
        """The jobs that it has started, each with its task, without those in lost threads."""
        return list(self.producer._running_jobs.values())

    def loop(self) -> list[asyncio.Task[None]]:
        """The task that fetches. When a producer stops, it ends this task before it waits for jobs."""
        task = cast("asyncio.Task[None] | None", self.producer._loop_task)
        return [task] if task is not None else []

    def ask_to_stop(self, job_id: int) -> None:
        """Tell a job that it was cancelled, if this producer runs it."""
        job, _ = self.producer._running_jobs.get(job_id, (None, None))
        if job is not None:
            self.producer._dispatcher.cancel(self.producer, job)

    def nudge(self) -> None:
        """Make it retry fetches and acks that failed. May be called from any thread.

        Oban's producer would retry after the next notification, which may never come in a quiet queue.
        """
        task = cast("asyncio.Task[None] | None", self.producer._loop_task)
        refused = ACKNOWLEDGEMENTS.refused(self.producer._query)
        if task is not None and (self.producer._pending_acks or refused or FETCHES.is_in_doubt(self.producer)):
            loop = task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.producer.notify)


def stopped_fetching(instance: Oban) -> list[str]:
    """The queues of a running instance whose fetch loop has died. May be called from any thread."""
    producers = list(instance._producers.values())
    return [it._queue for it in producers if any(task.done() for task in RunningProducer(it).loop())]


def running_jobs(instance: Oban) -> list[Job]:
    """The running jobs of an instance and of threads that are not lost. May be called from any thread."""
    started = [
        job for producer in list(instance._producers.values()) for job, _ in list(producer._running_jobs.values())
    ]
    ids = {job.id for job in started}
    return started + [job for job in RUNS.jobs() if job.id not in ids]


@dataclass(frozen=True, slots=True)
class Running:
    """What a companion needs from its Oban instance: the database, and the current producers."""

    query: Query
    by_queue: Mapping[str, Producer]

    @property
    def prefix(self) -> str:
        """The schema."""
        return self.query._prefix

    @property
    def pool(self) -> Pool:
        """The connection pool of the instance."""
        return cast("Pool", self.query._pool)

    @property
    def notifier(self) -> Notifier:
        """The instance's notifier, which its producers share; there is a producer when a companion starts."""
        return cast("Notifier", next(iter(self.by_queue.values()))._notifier)

    def producers(self) -> list[RunningProducer]:
        """The producers, without those whose queue was stopped."""
        return [RunningProducer(producer) for producer in list(self.by_queue.values())]

    def listening_connection(self) -> psycopg.AsyncConnection[Any] | None:
        """The connection on which the notifier listens, if it has one at the moment."""
        conn = getattr(self.notifier, "_conn", None)
        return conn if isinstance(conn, psycopg.AsyncConnection) else None

    def all_producers(self) -> list[RunningProducer]:
        """The producers, including those of stopped queues, whose jobs may still run."""
        return [RunningProducer(producer) for producer in list(FETCHES.seen) if producer._query is self.query]

    def hold_notifier(self, until: Callable[[], Awaitable[None]]) -> None:
        """Delay the stop of the notifier: Oban would stop it at once, while jobs still run."""
        notifier: Any = self.notifier
        stop = notifier.stop

        async def held() -> None:
            await until()
            await stop()

        notifier.stop = held

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection to the pool's database, directly to the server if a direct address is configured."""
        dsn = kept_alive(os.environ.get(DIRECT) or asyncio.run(self.query.dsn()))
        return Impatient.connect(dsn, **_options(self.pool), autocommit=True)


class Impatient(WatchedConnection):
    """A watched connection with less patience, for statements that are sent every second."""

    patience = 1.0


_OF_ASYNC: Final = frozenset(["autocommit", "connection_class", "cursor_factory", "row_factory"])
"""Connection arguments of an async pool that a sync connection does not take."""


def _options(pool: AsyncConnectionPool[Any]) -> dict[str, Any]:
    given = pool.kwargs
    return {name: value for name, value in given.items() if name not in _OF_ASYNC} if isinstance(given, dict) else {}


async def connecting_of(instance: Oban) -> dict[str, Any]:
    """The arguments with which psycopg connects to the database of the instance, as its pool does at this moment."""
    return {**_options(instance._query._pool), "conninfo": kept_alive(await instance._query.dsn())}


class Companion(Protocol):
    """Something that starts and stops with an instance."""

    def start(self) -> None:
        """Called when the instance starts."""

    def retire(self) -> None:
        """Called when the instance stops; its jobs may still run for a while."""


class CompanionRefresher:
    """Wraps Oban's refresher, and starts and stops a companion with it."""

    def __init__(self, refresher: Any, running: Running, make: Callable[[Running], Companion]) -> None:
        self._refresher = refresher
        self._running = running
        self._make = make
        self._companion: Companion | None = None
        self.at_stop: list[Callable[[], Awaitable[None]]] = []

    def ensure(self) -> None:
        """Start the companion if the instance has a queue, unless it runs already."""
        if self._companion is None and self._running.by_queue:
            rewatch(self._running.pool)
            self._companion = self._make(self._running)
            self._companion.start()

    async def start(self) -> None:
        """Do as Oban's refresher, and the same for the companion."""
        remember(self._running.query)  # producers start after this
        self.ensure()
        await self._refresher.start()

    async def stop(self) -> None:
        """Do as Oban's refresher, and the same for the companion."""
        if self._companion is not None:
            self._companion.retire()
            self._companion = None
        while self.at_stop:
            await self.at_stop.pop()()
        await self._refresher.stop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._refresher, name)


_companions: Final[list[Callable[[Running], Companion]]] = []


def give_companions(make: Callable[[Running], Companion]) -> None:
    """Give every new instance of this process a companion. Further calls change nothing.

    Producers announce their guard when they register. So one that dies before its guard works is known to be dead.
    """
    if make in _companions:
        return
    _companions.append(make)
    FETCHES.install()
    ACKNOWLEDGEMENTS.install()
    for name in ("producer.init", "producer.restore"):
        put_ext(name, _announced(get_ext(name, _init)))
    build = get_ext("refresher.build", build_refresher)

    def accompanied(config: dict[str, Any], *, producers: dict[str, Producer], query: Query, **others: Any) -> Any:
        refresher = build(config, producers=producers, query=query, **others)
        return CompanionRefresher(refresher, Running(query, producers), make)

    put_ext("refresher.build", accompanied)
    build_listener = get_ext("notifier.build", build_notifier)
    put_ext("notifier.build", lambda spec, query: build_listener(spec, _directly(query)))


class _Direct:
    """Oban's `Query` for the notifier, which listens directly at the server but notifies through the pool."""

    def __init__(self, query: Query, dsn: str) -> None:
        self._query = query
        self._dsn = dsn

    async def dsn(self) -> str:
        """The connection string for listening."""
        return self._dsn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)


def _directly(query: Query) -> Any:
    dsn = os.environ.get(DIRECT)
    return _Direct(query, kept_alive(dsn)) if dsn else query


def _announced(facts: Callable[[Producer], dict[str, Any]]) -> Callable[[Producer], dict[str, Any]]:
    def announced(producer: Producer) -> dict[str, Any]:
        isolate(producer)
        return facts(producer) | {"baton_guarded": "soon"}

    return announced


def accompany(instance: Oban, make: Callable[[Running], Companion]) -> None:
    """Give a running instance a companion, unless it has one."""
    FETCHES.install()
    ACKNOWLEDGEMENTS.install()
    for producer in instance._producers.values():
        isolate_running(producer)
    FETCHES.seen.update(instance._producers.values())
    if not isinstance(instance._refresher, CompanionRefresher):
        running = Running(instance._query, instance._producers)
        instance._refresher = CompanionRefresher(instance._refresher, running, make)
    started_in(instance).run(instance._refresher.ensure)


def at_stop(instance: Oban, close: Callable[[], Awaitable[None]]) -> None:
    """Call a function when an instance with a companion stops; its jobs may still run for a while."""
    assert isinstance(instance._refresher, CompanionRefresher)
    instance._refresher.at_stop.append(close)


def cancellation_of(job: Job) -> asyncio.Event | None:
    """The event that is set when a running job is asked to stop; None for a job that no producer has started."""
    return job._cancellation


def let_be_cancelled(job: Job) -> None:
    """Give a job an event, as a producer does when it starts a job, so that it can be asked to stop."""
    job._cancellation = asyncio.Event()
