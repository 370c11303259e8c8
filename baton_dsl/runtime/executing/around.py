"""Run observers around each attempt: metrics and traces, if they are turned on.

If there is none, the cost per attempt is a check of an empty tuple.
"""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, LiteralString, Protocol

import psycopg
from oban import Job
from psycopg import sql
from psycopg.rows import args_row

from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.oban.jobs import name_of
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values.raised import described

logger = logging.getLogger(__name__)

LINKS: Final = 64
"""The most upstreams of an attempt, and items of each map among them, whose spans are read."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The flow of a node, and the spans that led to it.

    Attributes:
        job_id: The id of its job.
        flow: The name of its flow.
        traceparent: The span of the insert of its workflow, if there was one.
        upstreams: The spans of its upstreams, where they are known.
    """

    job_id: int
    flow: str
    traceparent: str | None
    upstreams: Sequence[str]


type Attempt = Callable[[], Awaitable[Any]]
type Remember = Callable[[int, str], Future[None]]


class Observer(Protocol):
    """Runs around each attempt."""

    wants_links: bool

    async def around(self, job: Job, origin: Origin | None, attempt: Attempt, remember: Remember) -> Any:
        """Run an attempt, and return its result; `remember` stores its span for downstream steps."""


observers: tuple[Observer, ...] = ()
"""The observers of this process; the first one is the innermost."""


def observe(observer: Observer) -> None:
    """Add an observer for the attempts of this process."""
    global observers
    observers = (*(each for each in observers if each is not observer), observer)


def forget(observer: Observer) -> None:
    """Remove an observer."""
    global observers
    observers = tuple(each for each in observers if each is not observer)


class Watching:
    """Runs the attempts of one Oban instance with all observers around them.

    A failure to read or write origins does not fail a step: it is logged, and the observers get no origin.

    Args:
        pool: The pool of connections.
        prefix: The schema.
        context: The context in which it reads and writes.
    """

    def __init__(self, pool: Pool, prefix: str, context: Context) -> None:
        origins = Origins(pool, prefix)
        self._ask: Coalescer[int, Origin | None] = Coalescer("origins", origins.read, context)
        self._write: Coalescer[tuple[int, str], None] = Coalescer("spans", origins.write, context)

    async def run(self, job: Job, attempt: Attempt) -> Any:
        """Run an attempt."""
        assert job.id is not None
        origin: Origin | None = None
        try:
            origin = await self._ask.submit(job.id)
        except psycopg.Error as error:
            logger.warning("metrics and traces lack the origin of %s: %s", name_of(job), described(error))
        for observer in observers:
            attempt = partial(observer.around, job, origin, attempt, self._remember)
        return await attempt()

    def _remember(self, job_id: int, traceparent: str) -> Future[None]:
        writing = self._write.ask((job_id, traceparent))
        writing.add_done_callback(partial(_written, job_id))
        return writing


def _written(job_id: int, writing: Future[None]) -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        logger.warning("the span of job %d is not stored, so no span can link to it: %s", job_id, described(error))


_PLAIN: Final[LiteralString] = """
SELECT node.oban_job_id, workflow.flow_name, workflow.traceparent, '{}'::text[]
FROM unnest(%s::int8[]) AS job(id)
JOIN baton.workflow_nodes AS node ON node.oban_job_id = job.id
JOIN baton.baton_workflows AS workflow ON workflow.workflow_id = node.workflow_id
"""

_LINKED: Final = sql.SQL("""
SELECT node.oban_job_id, workflow.flow_name, workflow.traceparent, ARRAY(
    SELECT span.traceparent
    FROM (
        SELECT DISTINCT wanted.id FROM unnest(
            node.upstreams || coalesce(node.beside, '{{}}') || coalesce(node.sources, '{{}}')
            || coalesce(map.upstreams, '{{}}')  -- the upstreams of an item's map are its own too
        ) AS wanted(id) WHERE wanted.id > 0 LIMIT {links}
    ) AS upstream
    CROSS JOIN LATERAL (
        SELECT upstream.id
        UNION ALL
        (SELECT item.oban_job_id FROM baton.workflow_nodes AS item WHERE item.map_id = upstream.id LIMIT {links})
    ) AS job
    JOIN baton.baton_spans AS span ON span.oban_job_id = job.id
    LIMIT {links}
)
FROM unnest(%s::int8[]) AS job(id)
JOIN baton.workflow_nodes AS node ON node.oban_job_id = job.id
LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.root_id
JOIN baton.baton_workflows AS workflow ON workflow.workflow_id = node.workflow_id
""").format(links=sql.Literal(LINKS))

_WRITE: Final[LiteralString] = """
INSERT INTO baton.baton_spans (oban_job_id, traceparent)
SELECT id, traceparent FROM unnest(%s::int8[], %s::text[]) AS span(id, traceparent)
ORDER BY id
ON CONFLICT (oban_job_id) DO UPDATE SET traceparent = excluded.traceparent
"""


class Origins:
    """Reads the origins of nodes, and stores the spans of attempts, in one statement for many jobs.

    Args:
        pool: The pool of connections.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._plain = statement(_PLAIN, prefix)
        self._linked = statement(_LINKED, prefix)
        self._write = statement(_WRITE, prefix)

    async def read(self, job_ids: Sequence[int], _is_again: bool) -> list[Origin | None]:
        """The origins of nodes, by job; None for a job that is not a node."""
        statement = self._linked if any(observer.wants_links for observer in observers) else self._plain
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=args_row(Origin), binary=True)
            found = await (await cursor.execute(statement, [list(job_ids)])).fetchall()
        by_job = {origin.job_id: origin for origin in found}
        return [by_job.get(job_id) for job_id in job_ids]

    async def write(self, spans: Sequence[tuple[int, str]], _is_again: bool) -> list[None]:
        """Store the spans of attempts: for each, the job and its `traceparent`."""
        by_job = dict(spans)
        async with autocommit(self._pool) as conn:
            await conn.execute(self._write, [list(by_job), list(by_job.values())])
        return [None] * len(spans)
