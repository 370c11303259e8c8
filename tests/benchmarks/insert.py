"""Inserting a flow, against Oban's `enqueue_many` of as many jobs and a bare COPY of as many job rows.

And one small flow, by itself in a transaction, against a transaction that writes as many rows without any graph.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

import psycopg
from oban import Oban

from baton_dsl import Flow
from tests.benchmarks import databases
from tests.benchmarks.execution import diamonds
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
        return [*(row for size in (1_000, 10_000) for row in _measure(dsn, size)), _small(dsn)]


_BARE = """
WITH workflow AS (
    INSERT INTO baton_workflows (workflow_id, workflow_label, flow_name, inputs, unsettled)
    VALUES (gen_random_uuid(), 'bare', 'bare', '{}', 4) RETURNING workflow_id
),
jobs AS (
    INSERT INTO oban_jobs (state, worker, meta)
    SELECT 'completed', 'baton_dsl.steps.bare', jsonb_build_object(
        'workflow_id', workflow_id, 'workflow_name', number, 'workflow_label', 'bare')
    FROM workflow, generate_series(1, 4) AS number RETURNING id, meta
)
INSERT INTO workflow_nodes (
    oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
    ignore_cancelled, ignore_discarded
)
SELECT id, meta ->> 'workflow_id', 'bare', meta ->> 'workflow_name', 'baton_dsl.steps.bare', '{}', '{}', '{}', 0, false,
    false
FROM jobs
"""


def _small(dsn: str) -> Row:
    """The median of single inserts, the two in turns; both are prepared."""
    flow = diamonds(1)[0]
    times: list[list[float]] = [[], []]
    with psycopg.connect(dsn, autocommit=True) as conn:
        for number in range(-20, 200):
            for seconds, insert in zip(times, (lambda: flow.insert(conn), lambda: conn.execute(_BARE)), strict=True):
                start = time.perf_counter()
                insert()
                if number >= 0:
                    seconds.append(time.perf_counter() - start)
    ours, bare = (median(each) * 1e3 for each in times)
    return Row(
        work="insert one flow of four steps, one transaction",
        measured=f"{ours:.2f} ms, {ours - bare:.2f} ms above the reference",
        reference=f"as many rows in one statement {bare:.2f} ms",
        ratio=ours / bare,
        goal="0.3 ms above",
    )


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
