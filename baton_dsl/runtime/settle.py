"""Settling: the result, the count-down, the promotion and the job's own completion, in one statement for many jobs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from oban import Job
from psycopg import sql
from psycopg.rows import tuple_row
from psycopg_pool import PoolTimeout

from baton_dsl.runtime.bridge import ACKNOWLEDGED, Pool

logger = logging.getLogger(__name__)

TRIES: Final = 12
"""Tries of one statement while the database yields no answer: with the pauses below, about half a minute."""
LONGEST_PAUSE: Final = 4.0
"""Seconds between two tries, at the most."""

_AGAIN: Final = (
    psycopg.OperationalError,  # a lost connection, a server that restarts, a deadlock, a lock that was not to be had
    psycopg.InterfaceError,
    PoolTimeout,
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A job whose function has returned, and what it returned as JSON."""

    job: Job
    result: str


class Settler:
    """Settles nodes, in one statement for all jobs that finish at the same time.

    Args:
        pool: Where connections come from.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._settle = sql.SQL("SELECT {}(%s::int8[], %s::int2[], %s::text[])").format(
            sql.Identifier(prefix, "baton_settle")
        )
        self._park = sql.SQL("SELECT {}(%s::int8[], %s::int2[])").format(sql.Identifier(prefix, "baton_park"))

    async def settle(self, finished: Sequence[Finished]) -> list[bool]:
        """Settle nodes as completed.

        Returns:
            For each, whether its job was completed with it; if not, the job was in other hands already.
        """
        ids = [each.job.id for each in finished]
        values = (ids, [each.job.attempt for each in finished], [each.result for each in finished])

        async def attempt() -> set[int]:
            async with self._pool.connection() as conn:
                cursor = await conn.cursor(row_factory=tuple_row).execute(self._settle, values)
                row = await cursor.fetchone()
            return set(row[0] or ()) if row else set()

        acknowledged = await insistently("settle", attempt)
        for each in finished:
            if each.job.id in acknowledged:
                ACKNOWLEDGED.add(each.job)
        return [job_id in acknowledged for job_id in ids]

    async def park(self, jobs: Sequence[Job]) -> list[None]:
        """Put jobs back that were started before their upstreams had settled."""

        async def attempt() -> None:
            async with self._pool.connection() as conn:
                await conn.execute(self._park, ([job.id for job in jobs], [job.attempt for job in jobs]))

        await insistently("park", attempt)
        return [None] * len(jobs)


async def insistently[T](what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Run a statement that is safe to repeat until the database answers, with growing, jittered pauses.

    Args:
        what: Its name, for the log.
        attempt: Runs it once.

    Raises:
        psycopg.Error: What the last try raised; at once, if repeating can't help.
    """
    for number in range(TRIES):
        try:
            return await attempt()
        except _AGAIN as error:
            if number == TRIES - 1:
                raise
            pause = min(LONGEST_PAUSE, 0.02 * 2**number) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            logger.warning("%s is tried again in %.2f s: %s", what, pause, str(error).strip())
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")
