"""Reserve an amount of the workflow's budget for each attempt before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context

from oban import Job
from psycopg.rows import tuple_row

from baton_dsl.llm.reserving import RESERVE
from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.sql.statements import statement


class Budgets:
    """Reserves amounts for the attempts of one Oban instance, in one statement for all that start at the same time.

    Args:
        pool: The pool of connections.
        prefix: The schema.
        context: The context in which the statements run.
    """

    def __init__(self, pool: Pool, prefix: str, context: Context) -> None:
        self._pool = pool
        self._statement = statement("SELECT baton.baton_reserve(%s::int8[], %s::int2[], %s::numeric[])", prefix)
        self._reserve: Coalescer[Job, bool] = Coalescer("reserve", self._reserve_all, context)

    async def admits(self, job: Job) -> bool:
        """Whether an attempt may start. If so, its amount is reserved until it ends."""
        return RESERVE not in job.meta or await self._reserve.submit(job)

    async def _reserve_all(self, jobs: Sequence[Job], _is_again: bool) -> list[bool]:
        ids, attempts = [job.id for job in jobs], [job.attempt for job in jobs]
        amounts = [str(job.meta[RESERVE]) for job in jobs]
        async with autocommit(self._pool) as conn:
            cursor = await conn.cursor(row_factory=tuple_row).execute(self._statement, (ids, attempts, amounts))
            row = await cursor.fetchone()
        granted = set(row[0] if row else ())
        return [job.id in granted for job in jobs]
