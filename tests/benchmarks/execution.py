"""Executing workflows of no-op steps, against raw Oban with as many no-op jobs at the same limit.

Only execution is timed, of a worker that has run a few jobs before: everything is inserted while the queue is paused;
the time is that from the first job's start to the last one's end, by the database's clock. A worker runs on uvloop, as
under `baton worker` and `oban start`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from oban import Oban
from oban.worker import worker_name

from baton_dsl import Flow
from tests.benchmarks import databases
from tests.benchmarks.report import Row, medians, rate
from tests.integration.modules.steps import ExportWorker, noop

LIMIT = 100
ROUNDS = 5
SHAPES = Path(__file__).parent.parent / "shapes"


def diamonds(count: int) -> list[Flow]:
    """Small workflows of four steps: one, two in parallel, one."""
    flow = Flow("diamond").add("top", noop).add("left", noop, deps=["top"]).add("right", noop, deps=["top"])
    return [flow.add("bottom", noop, deps=["left", "right"])] * count


def wide(width: int) -> list[Flow]:
    """One step, many in parallel, one."""
    flow = Flow("wide").add("first", noop)
    for index in range(width):
        flow.add(f"middle_{index}", noop, deps=["first"])
    return [flow.add("last", noop, deps=[f"middle_{index}" for index in range(width)])]


def chain(length: int) -> list[Flow]:
    """A chain."""
    flow = Flow("chain").add("step_0", noop)
    for index in range(1, length):
        flow.add(f"step_{index}", noop, deps=[f"step_{index - 1}"])
    return [flow]


def shape(name: str) -> list[Flow]:
    """A scientific workflow."""
    flow = Flow(name)
    for step, facts in json.loads((SHAPES / f"{name}.json").read_text())["steps"].items():
        flow.add(step, noop, deps=facts["deps"])
    return [flow]


def run() -> list[Row]:
    """Each shape against raw Oban, in turns."""
    rows: list[Row] = []
    with databases.server() as server:
        for work, flows in (
            ("500 diamonds", diamonds(500)),
            ("1 -> 1,000 -> 1", wide(1_000)),
            ("bwa-998", shape("bwa-998")),
        ):
            size = sum(len(flow.step_names) for flow in flows)
            ours, raw = medians(ROUNDS, lambda f=flows: _ours(server, f), lambda n=size: _raw(server, n))
            rows.append(
                Row(
                    work=f"{work} ({size:,} steps)",
                    measured=rate(size / ours, "steps/s"),
                    reference=f"raw Oban {rate(size / raw, 'jobs/s')}",
                    ratio=raw / ours,
                    goal="1.0; 1.5 with set-based acks",
                )
            )
        hops, floor = medians(ROUNDS, lambda: _ours(server, chain(100)), lambda: _commit(server))
        rows.append(
            Row(
                work="chain of 100",
                measured=f"{hops * 10:.2f} ms a hop",
                reference=f"one statement and its commit {floor * 1e3:.2f} ms",
                ratio=hops / 100 / floor,
                goal="below the checkpoint of absurd: make bench-peers",
            )
        )
    return rows


def _ours(server: str, flows: Sequence[Flow]) -> float:
    def insert(dsn: str, flows: Sequence[Flow] = flows) -> None:
        with psycopg.connect(dsn) as conn:
            for flow in flows:
                flow.insert(conn)

    return uvloop.run(execute(databases.fresh(server), partial(insert, flows=chain(50) + wide(50)), insert))


def _raw(server: str, size: int) -> float:
    return uvloop.run(execute(databases.fresh(server), partial(insert_raw, size=100), partial(insert_raw, size=size)))


def insert_raw(dsn: str, size: int) -> None:
    """Insert no-op jobs of Oban's own."""
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO oban_jobs (worker) SELECT %s FROM generate_series(1, %s)", [worker_name(ExportWorker), size]
        )


async def execute(dsn: str, warm_up: Callable[[str], None], insert: Callable[[str], None]) -> float:
    pool = await Oban.create_pool(dsn)
    async with Oban(pool=pool, queues={"default": LIMIT}) as oban, pool.connection() as conn:
        await conn.set_autocommit(True)
        warm_up(dsn)
        await _all_done(conn)
        await oban.pause_queue("default")
        row = await (await conn.execute("SELECT max(id) FROM oban_jobs")).fetchone()
        insert(dsn)
        await oban.resume_queue("default")
        await _all_done(conn)
        elapsed = await conn.execute(
            "SELECT extract(epoch FROM max(completed_at) - min(attempted_at))::float FROM oban_jobs WHERE id > %s", row
        )
        measured = await elapsed.fetchone()
        await conn.set_autocommit(False)
    await pool.close()
    assert measured is not None
    return float(measured[0] or 0)


async def _all_done(conn: psycopg.AsyncConnection[Any]) -> None:
    # Of workflows by an index that has no dead entries: what is measured beside it must not grow by the look itself.
    left = (
        "SELECT EXISTS (SELECT FROM baton_workflows WHERE outcome IS NULL) "
        "OR (NOT EXISTS (SELECT FROM baton_workflows) "
        "AND EXISTS (SELECT FROM oban_jobs WHERE state IN ('available', 'executing', 'suspended')))"
    )
    while (await (await conn.execute(left)).fetchone()) == (True,):
        await asyncio.sleep(0.01)


def _commit(server: str) -> float:
    """Seconds of one small durable transaction: the floor of a hop."""
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS floor AS SELECT 1 AS value")
        start = time.perf_counter()
        for _ in range(100):
            conn.execute("UPDATE floor SET value = value + 1")
        return (time.perf_counter() - start) / 100
