"""A crash uses no attempt and is counted separately; steps beside one that kills its process are not discarded."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.conftest import StartOban
from tests.integration.modules import crash_steps as given
from tests.integration.test_orphans import DEAD

TIMEOUT = 120
ROOT = Path(__file__).parent.parent.parent

JOB = "SELECT state::text, attempt, max_attempts, (meta ->> 'rescued')::int FROM oban_jobs"


async def crash(oban: Any, conn: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Let a dead process have fetched the job, and return it to the queue."""
    assert len(await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)) == 1
    for _ in range(2):
        conn.execute("SELECT baton_rescue('0 s')")
    return conn.execute(JOB).fetchone() or ()


@pytest.mark.parametrize(
    ("step", "ends"),
    [
        (given.works, [("available", 1, 4, 1), ("available", 2, 5, 2), ("discarded", 3, 5, 3)]),
        (given.bears_none, [("discarded", 1, 3, 1)]),
        (given.bears_many, [("available", n, n + 1, n) for n in (1, 2, 3)] + [("discarded", 4, 4, 4)]),
    ],
    ids=["as many as attempts", "none", "more than attempts"],
)
async def test_crashes_are_counted_by_themselves(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: Any, ends: list[tuple[Any, ...]]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await Flow("some", step).insert()
        assert [await crash(oban, conn) for _ in ends] == ends
        assert (await workflow.status()).outcome == "discarded"
        (node,) = await workflow.nodes()
        assert node.error == (
            f"BTN508: the process that ran this attempt is gone, which is crash {len(ends)} of at most {len(ends)}"
        )


async def test_an_attempt_that_failed_is_used_and_one_that_crashed_is_not(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await Flow("some", given.works).insert()  # three attempts
        assert await crash(oban, conn) == ("available", 1, 4, 1)
        for attempt in (2, 3, 4):
            (job,) = await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)
            assert (job.attempt, job.max_attempts) == (attempt, 4)
            conn.execute("UPDATE oban_jobs SET state = 'retryable'; UPDATE oban_jobs SET state = 'available'")


async def test_a_retry_counts_crashes_from_the_start_again(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await Flow("some", given.bears_none).insert()
        assert (await crash(oban, conn))[0] == "discarded"
        assert await workflow.retry() is True
        assert conn.execute(JOB).fetchone() == ("available", 1, 3, None)
        assert (await crash(oban, conn))[3] == 1
        conn.execute("UPDATE oban_jobs SET state = 'available'")  # by hand, as Oban Web does
        assert conn.execute("SELECT state::text FROM oban_jobs").fetchone() == ("available",)
        assert (conn.execute(JOB).fetchone() or ())[3] is None


async def test_what_the_options_say_reaches_the_items_of_a_map(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        flow = Flow("map", given.numbers, given.fails)
        await (await flow.insert(count=2)).wait(TIMEOUT)
        workflow = await given.killing.insert(count=0)
        await workflow.wait(TIMEOUT)
    rules = dict(conn.execute("SELECT step_name, mapping -> 'meta' FROM workflow_nodes WHERE is_map").fetchall())
    assert rules == {"fails": {}, "deadly": {"baton_max_crashes": 2}}


async def test_items_beside_one_that_kills_its_process_are_not_discarded_with_it(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    workflow = given.killing.insert(conn, count=8)
    arguments = ["worker", "tests.integration.modules.crash_steps", "--queues", "default:10", "--dsn", dsn]

    async def work() -> None:
        """Run a worker, and start another one each time it dies."""
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "baton_dsl.cli", *arguments, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    working = asyncio.create_task(work())
    try:
        await workflow.wait(TIMEOUT)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert await workflow.result("survivors") == [0, 1, 2, None, 4, 5, 6, 7]
    (item,) = [item for item in await workflow.items("deadly") if item.state != "completed"]
    assert (item.step, item.state) == ("deadly[3]", "discarded")
    assert item.error is not None
    assert item.error.endswith("which is crash 2 of at most 2")
