"""How long a step of a killed process waits before it starts again, against the minutes of Oban's lifeline."""

from __future__ import annotations

import asyncio

import psycopg

from tests.benchmarks import databases
from tests.benchmarks.report import Row
from tests.conftest import until
from tests.crashes import verdict
from tests.crashes.notebook import TABLE
from tests.crashes.shapes import Planned, case
from tests.crashes.workers import nursery

KILLS = 10
LIFELINE = 300.0
"""Seconds after which Oban returns a job to its queue, by default."""


def run() -> list[Row]:
    """Kill one process after another; another one is always there."""
    with databases.server() as server:
        dsn = databases.fresh(server)
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(TABLE)
            delays = asyncio.run(_kill(dsn, conn))
    ordered = sorted(delays.seconds)
    middle, most = ordered[len(ordered) // 2], ordered[-1]
    return [
        Row(
            work=f"kill -9 to the restart of a step, {len(ordered)} steps of {KILLS} killed processes",
            measured=f"median {middle:.1f} s, most {most:.1f} s",
            reference=f"Oban's lifeline {LIFELINE:.0f} s",
            ratio=middle / LIFELINE,
            goal="seconds: 3.0 are the grace",
        )
    ]


async def _kill(dsn: str, conn: psycopg.Connection) -> verdict.Delays:
    running = "SELECT count(*) FROM oban_jobs WHERE state = 'executing' AND attempted_by[1] LIKE %s"
    flow = case("long", {f"n{number}": Planned(seconds=3600.0) for number in range(4)}).flow
    async with nursery(dsn) as workers:
        alive = await workers.start(queues={"default": 4})
        flow.insert(conn)
        for _ in range(KILLS):
            begun = f"SELECT count(*) FROM crash_runs WHERE pid = {alive}"
            await until(lambda query=begun: conn.execute(query.encode()).fetchone() == (4,), 60)
            assert conn.execute(running, [f"%.{alive}"]).fetchone() == (4,)
            other = await workers.start(queues={"default": 4})
            await until(lambda: conn.execute(GUARDED).fetchone() == (2,), 60)
            workers.kill(alive)
            await until(lambda pid=alive: pid in workers.deaths, 60)
            await until(lambda: conn.execute(GUARDED).fetchone() != (2,), 60)
            alive = other
        begun = f"SELECT count(*) FROM crash_runs WHERE pid = {alive}"
        await until(lambda: conn.execute(begun.encode()).fetchone() == (4,), 60)
    return verdict.delays(conn, workers.deaths)


GUARDED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock'"
