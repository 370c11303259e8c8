"""Run observers around each attempt: metrics and traces, if they are turned on.

If there is none, the cost per attempt is a check of an empty tuple.
"""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, LiteralString, Protocol

import psycopg
from oban import Job
from psycopg import sql
from psycopg.rows import tuple_row

from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.oban.jobs import name_of
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values.raised import described

logger = logging.getLogger(__name__)

LINKS: Final = 64
"""The most upstreams of an attempt, and items of each map among them, whose spans are read."""
KNOWN: Final = 10_000
"""The most workflows whose origins are kept."""
FRESH: Final = 60.0
"""Seconds for which an origin is kept: an id of somebody's own choice may name another workflow after a prune."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a workflow comes from.

    Attributes:
        flow: The name of its flow.
        traceparent: The span of its insert, if there was one.
    """

    flow: str
    traceparent: str | None


type Attempt = Callable[[], Awaitable[Any]]
type Link = Callable[[int, str], Future[Sequence[str]]]
"""Stores the span of an attempt, by the id of its job, and gives the spans of its upstreams, where they are known."""


class Observer(Protocol):
    """Runs around each attempt."""

    async def around(self, job: Job, origin: Origin | None, attempt: Attempt, link: Link) -> Any:
        """Run an attempt, and return its result."""


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
        self._known: dict[str, tuple[float, Origin]] = {}
        self._ask: Coalescer[str, Origin | None] = Coalescer("origins", origins.read, context)
        self._spans: Coalescer[tuple[int, str], Sequence[str]] = Coalescer("spans", origins.link, context)

    async def run(self, job: Job, attempt: Attempt) -> Any:
        """Run an attempt."""
        workflow_id = job.meta.get("workflow_id", "")
        read_at, origin = self._known.get(workflow_id, _UNKNOWN)
        if time.monotonic() > read_at + FRESH:
            origin = await self._read(workflow_id, job)
        for observer in observers:
            attempt = partial(observer.around, job, origin, attempt, self._link)
        return await attempt()

    async def _read(self, workflow_id: str, job: Job) -> Origin | None:
        try:
            origin = await self._ask.submit(workflow_id)
        except psycopg.Error as error:
            logger.warning("metrics and traces lack the origin of %s: %s", name_of(job), described(error))
            return None
        if origin is not None:
            self._known.pop(workflow_id, None)  # so that those that were read last stand last
            self._known[workflow_id] = time.monotonic(), origin
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return origin

    def _link(self, job_id: int, traceparent: str) -> Future[Sequence[str]]:
        linking = self._spans.ask((job_id, traceparent))
        linking.add_done_callback(partial(_linked, job_id))
        return linking


_UNKNOWN: Final[tuple[float, Origin | None]] = float("-inf"), None


def _linked(job_id: int, linking: Future[Sequence[str]]) -> None:
    if not linking.cancelled() and (error := linking.exception()) is not None:
        logger.warning("the span of job %d is not stored, so no span can link to it: %s", job_id, described(error))


_ORIGINS: Final[LiteralString] = """
SELECT workflow_id, flow_name, traceparent FROM baton.baton_workflows WHERE workflow_id = ANY(%s::text[])
"""

# The upstreams of an item's map are its own too. What this very statement writes, it does not see.
_LINK: Final = sql.SQL("""
WITH span AS MATERIALIZED (
    SELECT id, traceparent FROM unnest(%s::int8[], %s::text[]) AS span(id, traceparent)
),
written AS (
    INSERT INTO baton.baton_spans (oban_job_id, traceparent) SELECT id, traceparent FROM span ORDER BY id
    ON CONFLICT (oban_job_id) DO UPDATE SET traceparent = excluded.traceparent
)
SELECT span.id, ARRAY(
    SELECT known.traceparent
    FROM (
        SELECT DISTINCT wanted.id FROM unnest(
            node.upstreams || coalesce(node.beside, '{{}}') || coalesce(node.sources, '{{}}')
            || coalesce(map.upstreams, '{{}}')
        ) AS wanted(id) WHERE wanted.id > 0 LIMIT {links}
    ) AS upstream
    CROSS JOIN LATERAL (
        SELECT upstream.id
        UNION ALL
        (SELECT item.oban_job_id FROM baton.workflow_nodes AS item WHERE item.map_id = upstream.id LIMIT {links})
    ) AS job
    JOIN baton.baton_spans AS known ON known.oban_job_id = job.id
    LIMIT {links}
)
FROM span
JOIN baton.workflow_nodes AS node ON node.oban_job_id = span.id
LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.root_id
""").format(links=sql.Literal(LINKS))


class Origins:
    """Reads the origins of workflows, and stores and links the spans of attempts, in one statement for many.

    Args:
        pool: The pool of connections.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._origins = statement(_ORIGINS, prefix)
        self._link = statement(_LINK, prefix)

    async def read(self, workflow_ids: Sequence[str], _is_again: bool) -> list[Origin | None]:
        """The origins of workflows; None for one that is not there."""
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=tuple_row, binary=True)
            found = await (await cursor.execute(self._origins, [list(set(workflow_ids))])).fetchall()
        by_id = {workflow_id: Origin(flow, traceparent) for workflow_id, flow, traceparent in found}
        return [by_id.get(workflow_id) for workflow_id in workflow_ids]

    async def link(self, spans: Sequence[tuple[int, str]], _is_again: bool) -> list[Sequence[str]]:
        """Store the spans of attempts, for each the job and its `traceparent`; and give those of their upstreams."""
        by_job = dict(spans)
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=tuple_row, binary=True)
            found: dict[int, list[str]] = dict(
                await (await cursor.execute(self._link, [list(by_job), list(by_job.values())])).fetchall()
            )
        return [found.get(job_id, ()) for job_id, _ in spans]
