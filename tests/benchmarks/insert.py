"""Inserting a flow, against Oban's `enqueue_many` of as many jobs and a bare COPY of as many job rows."""

from __future__ import annotations

import asyncio
import time

import psycopg
from oban import Oban

from baton_dsl import Flow
from tests.benchmarks import databases
from tests.benchmarks.report import Row, medians, rate
from tests.integration.modules.steps import ExportWorker, noop

ROUNDS = 5


def layered(size: int) -> Flow:
    """Each step waits for the three before it."""
    flow = Flow("layered")
    for index in range(size):
        flow.add(f"step_{index}", noop, deps=[f"step_{before}" for before in range(max(0, index - 3), index)])
    return flow


def run() -> list[Row]:
    """1,000 and 10,000 steps with three edges each."""
    with databases.server() as server:
        dsn = databases.fresh(server)
        return [row for size in (1_000, 10_000) for row in _measure(dsn, size)]


def _measure(dsn: str, size: int) -> list[Row]:
    flow = layered(size)
    flow.validate()
    with psycopg.connect(dsn, autocommit=True) as conn:

        def ours() -> float:
            start = time.perf_counter()
            flow.insert(conn)
            return size / (time.perf_counter() - start)

        def copy() -> float:
            start = time.perf_counter()
            with conn.cursor().copy("COPY oban_jobs (queue, worker, args, meta) FROM STDIN") as rows:
                for index in range(size):
                    rows.write_row(("default", "app.Worker", "{}", f'{{"workflow_name": "step_{index}"}}'))
            return size / (time.perf_counter() - start)

        def oban() -> float:
            return asyncio.run(_enqueue(dsn, size))

        inserted, enqueued, copied = medians(ROUNDS, ours, oban, copy)
    work = f"insert {size:,} steps, {3 * size - 6:,} edges"
    steps = rate(inserted, "steps/s")
    return [
        Row(
            work=work,
            measured=steps,
            reference=f"enqueue_many {rate(enqueued, 'jobs/s')}",
            ratio=inserted / enqueued,
            goal="10",
        ),
        Row(
            work=work, measured=steps, reference=f"COPY {rate(copied, 'rows/s')}", ratio=inserted / copied, goal="0.33"
        ),
    ]


async def _enqueue(dsn: str, size: int) -> float:
    pool = await Oban.create_pool(dsn)
    oban = Oban(pool=pool)
    jobs = [ExportWorker.new({}) for _ in range(size)]
    start = time.perf_counter()
    async with pool.connection() as conn:  # in one transaction, as a flow is
        await oban.enqueue_many(jobs, conn=conn)
    elapsed = time.perf_counter() - start
    await pool.close()
    return size / elapsed
