"""What looks at each attempt from around it: nothing, or metrics and traces where they are on.

Where nothing is on, an attempt costs one look at an empty tuple more.
"""

from __future__ import annotations

import logging
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
"""Upstreams, and items of each map among them, that an attempt is told of at the most."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from.

    Attributes:
        job_id: Its job.
        flow: The name of its flow.
        traceparent: The span that inserted its workflow, if there was one.
        upstreams: The spans of what it waited for, as far as they are known.
    """

    job_id: int
    flow: str
    traceparent: str | None
    upstreams: Sequence[str]


type Attempt = Callable[[], Awaitable[Any]]
type Remember = Callable[[int, str], Awaitable[None]]


class Observer(Protocol):
    """What is around each attempt."""

    wants_links: bool

    async def around(self, job: Job, origin: Origin | None, attempt: Attempt, remember: Remember) -> Any:
        """Run an attempt, and give what it gives; `remember` keeps its span for the steps behind it."""


observers: tuple[Observer, ...] = ()
"""Those of this process; the first one is the innermost."""


def observe(observer: Observer) -> None:
    """Have something around each attempt of this process from now on."""
    global observers
    observers = (*(each for each in observers if each is not observer), observer)


def forget(observer: Observer) -> None:
    """Take it away."""
    global observers
    observers = tuple(each for each in observers if each is not observer)


class Watching:
    """Runs attempts of one Oban instance with all observers around them.

    What it can't read or write, a step does not fail of: it is told, and left out.

    Args:
        pool: Where connections come from.
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
            logger.warning("metrics and traces lack what %s comes from: %s", name_of(job), described(error))
        for observer in observers:
            attempt = partial(observer.around, job, origin, attempt, self._remember)
        return await attempt()

    async def _remember(self, job_id: int, traceparent: str) -> None:
        try:
            await self._write.submit((job_id, traceparent))
        except psycopg.Error as error:
            logger.warning("no span links to that of job %d: %s", job_id, described(error))


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
            || coalesce(map.upstreams, '{{}}')  -- an item has had its own from there
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
    """Reads where nodes come from, and remembers the spans of attempts, in one statement for many jobs.

    Args:
        pool: Where connections come from.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._plain = statement(_PLAIN, prefix)
        self._linked = statement(_LINKED, prefix)
        self._write = statement(_WRITE, prefix)

    async def read(self, job_ids: Sequence[int], _is_again: bool) -> list[Origin | None]:
        """Where nodes come from, by their jobs; None for what is no node."""
        statement = self._linked if any(observer.wants_links for observer in observers) else self._plain
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=args_row(Origin), binary=True)
            found = await (await cursor.execute(statement, [list(job_ids)])).fetchall()
        by_job = {origin.job_id: origin for origin in found}
        return [by_job.get(job_id) for job_id in job_ids]

    async def write(self, spans: Sequence[tuple[int, str]], _is_again: bool) -> list[None]:
        """Remember the spans of attempts: each a job with its `traceparent`."""
        by_job = dict(spans)
        async with autocommit(self._pool) as conn:
            await conn.execute(self._write, [list(by_job), list(by_job.values())])
        return [None] * len(spans)
