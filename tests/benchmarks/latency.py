"""How long people wait: from an insert to the first step's start, and from the last step's return to `wait()`'s return.

On a worker with nothing else to do, and on one that executes half of what it can. Who inserts and who waits is another
process than the worker, as a web application is; both read the clock of the machine.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from statistics import median, quantiles

import psycopg
import uvloop

from baton_dsl import Workflow
from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row
from tests.integration.clocked import one

SAMPLES = 200
BATCH = 25
"""Diamonds that the load inserts together."""


def run() -> list[Row]:
    """Idle, then at half of the rate that the same worker reaches."""
    rows: list[Row] = []
    with databases.server() as server:
        floor = median(execution._commit(server) for _ in range(3))
        dsn = databases.fresh(server)
        worker = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.latency_worker", dsn])
        try:
            capacity = uvloop.run(_capacity(dsn))
            for load, pause in (("idle", None), ("at half load", 4 * BATCH / (capacity / 2))):
                started, told = uvloop.run(_waits(dsn, pause))
                rows.append(_row(f"insert -> the first step starts, {load}", started, floor))
                rows.append(_row(f"the last step returns -> wait() returns, {load}", told, floor))
        finally:
            worker.terminate()
            worker.wait()
    return rows


def _row(work: str, seconds: list[float], floor: float) -> Row:
    middle, late = median(seconds), quantiles(seconds, n=100)[98]
    return Row(
        work=work,
        measured=f"p50 {middle * 1e3:.1f} ms, p99 {late * 1e3:.1f} ms",
        reference=f"one commit {floor * 1e3:.2f} ms",
        ratio=middle / floor,
    )


async def _capacity(dsn: str) -> float:
    """Steps a second, inserts included, of the worker that has nothing else to do."""
    flow = execution.diamonds(1)[0]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await _all_ended(await flow.insert_many(conn, [{}] * BATCH), dsn)
        start = time.perf_counter()
        await _all_ended(await flow.insert_many(conn, [{}] * 500), dsn)
        return 2_000 / (time.perf_counter() - start)


async def _all_ended(workflows: list[Workflow], dsn: str) -> None:
    for each in workflows:
        await Workflow.load(each.id, dsn=dsn).wait(timeout=120)


async def _waits(dsn: str, pause: float | None) -> tuple[list[float], list[float]]:
    started: list[float] = []
    told: list[float] = []
    load = asyncio.create_task(_load(dsn, pause)) if pause is not None else None
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for number in range(-10, SAMPLES):
            before = time.time()
            workflow = Workflow.load((await one.insert(conn)).id, dsn=dsn)
            await workflow.wait(timeout=60)
            after = time.time()
            begun, ended = await workflow.result("moments")
            if number >= 0:  # the first ones prepare their statements
                started.append(begun - before)
                told.append(after - ended)
            await asyncio.sleep(0.01)
    if load is not None:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    return started, told


async def _load(dsn: str, pause: float) -> None:
    """Insert at a steady rate, however long an insert takes."""
    flow = execution.diamonds(1)[0]
    due = time.perf_counter()
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        while True:
            await flow.insert_many(conn, [{}] * BATCH)
            due += pause
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
