"""What a step costs, counted and not timed: CPU of the worker's process, statements that it sends, WAL that they write.

These figures are the same on a busy machine. The worker and who inserts are one process here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
import uvloop
from oban import Oban

from baton_dsl import Flow, Workflow
from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row, at_most

ROUNDS = 3

type Insert = Callable[[psycopg.Connection[Any]], Sequence[Workflow]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step, on average: seconds of CPU for a thousand, statements, bytes of WAL."""

    cpu: float
    statements: float
    wal: float


def run() -> list[Row]:
    """Inserts one by one and together; the three shapes, executed."""
    rows: list[Row] = []
    diamond = execution.diamonds(1)[0]
    with databases.server() as server:
        for work, insert in (
            ("insert 500 diamonds, one by one", lambda conn: [diamond.insert(conn) for _ in range(500)]),
            ("insert 500 diamonds, insert_many", lambda conn: diamond.insert_many(conn, [{}] * 500)),
        ):
            rows.append(_row(work, [_inserting(server, insert, 2_000) for _ in range(at_most(ROUNDS))]))
        for work, insert, size in (
            ("execute a chain of 500", _one(execution.chain(500)[0]), 500),
            ("execute 500 diamonds", lambda conn: diamond.insert_many(conn, [{}] * 500), 2_000),
            ("execute 1 -> 1,000 -> 1", _one(execution.wide(1_000)[0]), 1_002),
        ):
            rows.append(_row(work, [uvloop.run(_executing(server, insert, size)) for _ in range(at_most(ROUNDS))]))
    return rows


def _one(flow: Flow[..., Any]) -> Insert:
    return lambda conn: [flow.insert(conn)]


def _row(work: str, costs: list[Cost]) -> Row:
    cpu, statements, wal = (median(getattr(cost, name) for cost in costs) for name in ("cpu", "statements", "wal"))
    return Row(
        work=work,
        measured=f"{cpu:.3f} s of CPU for 1,000 steps, {statements:.2f} statements, {wal / 1000:.1f} kB of WAL a step",
    )


def _inserting(server: str, insert: Insert, size: int) -> Cost:
    dsn = databases.fresh(server)
    sent = 0

    class Counting(psycopg.Connection[Any]):
        def wait(self, *args: Any, **options: Any) -> Any:  # once for each statement
            nonlocal sent
            sent += 1
            return super().wait(*args, **options)

    with psycopg.connect(dsn, autocommit=True) as watch, Counting.connect(dsn) as conn:
        insert(conn)
        conn.commit()
        before, wal, sent = time.process_time(), _wal(watch), 0
        insert(conn)
        statements = sent
        conn.commit()
        return Cost((time.process_time() - before) / size * 1000, statements / size, (_wal(watch) - wal) / size)


async def _executing(server: str, insert: Insert, size: int) -> Cost:
    dsn = databases.fresh(server)
    pool = await Oban.create_pool(dsn)
    try:
        async with Oban(pool=pool, queues={"default": execution.LIMIT}) as oban:
            with psycopg.connect(dsn, autocommit=True) as watch:
                for each in (execution.chain(30)[0], execution.wide(50)[0]):
                    await each.insert(watch).wait(timeout=60)
                await oban.pause_queue("default")
                workflows = insert(watch)
                sent = 0
                execute = psycopg.AsyncCursor.execute

                async def counted(self: Any, *args: Any, **options: Any) -> Any:
                    nonlocal sent
                    sent += 1
                    return await execute(self, *args, **options)

                psycopg.AsyncCursor.execute = counted  # type: ignore[method-assign]
                try:
                    before, wal = time.process_time(), _wal(watch)
                    await oban.resume_queue("default")
                    while _running(watch):
                        await asyncio.sleep(0.1)
                    spent = time.process_time() - before
                finally:
                    psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
                assert workflows
                return Cost(spent / size * 1000, sent / size, (_wal(watch) - wal) / size)
    finally:
        await pool.close()


def _running(conn: psycopg.Connection[Any]) -> bool:
    row = conn.execute("SELECT EXISTS (SELECT FROM baton_workflows WHERE outcome IS NULL)").fetchone()
    return row == (True,)


def _wal(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").fetchone()
    assert row is not None
    return int(row[0])
