"""An instance stops: its running steps still hear cancellations, keep their jobs, and store results in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read
from baton_dsl.runtime.oban import stopping, threads
from baton_dsl.runtime.oban.threads import RUNS as THREADS
from baton_dsl.runtime.observing.doctor import examine
from tests.conftest import StartOban, until
from tests.integration.modules import steps
from tests.integration.modules.stopping_steps import (
    GO_ON,
    RUNS,
    holds_a_thread,
    is_interrupted,
    loses_its_thread,
    waits,
)
from tests.integration.test_at_once import WAITING

TIMEOUT = 60
SWIFT = {"interval": 0.02}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    RUNS.clear()
    GO_ON.clear()
    yield
    GO_ON.set()


def states(conn: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return conn.execute("SELECT state::text, attempt FROM oban_jobs ORDER BY id").fetchall()


async def test_a_request_to_cancel_is_heard_while_the_instance_stops(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(shutdown_grace_period=TIMEOUT) as oban:
        workflow = await Flow("cancelled", is_interrupted).insert()
        await until(lambda: bool(RUNS))
        stopped = asyncio.create_task(oban.stop())
        shutdown = "SELECT FROM oban_producers WHERE meta ? 'shutdown_started_at'"
        await until(lambda: conn.execute(shutdown).fetchone() is not None)
        began = time.monotonic()
        await workflow.cancel()
        await stopped
        assert time.monotonic() - began < TIMEOUT / 2
    assert states(conn) == [("cancelled", 1)]


async def test_so_it_is_in_a_queue_that_is_stopped_alone(start_oban: StartOban) -> None:
    async with start_oban(shutdown_grace_period=TIMEOUT, queues={"default": 1, "other": 1}) as oban:
        workflow = await Flow("cancelled", is_interrupted).insert()
        await until(lambda: bool(RUNS))
        stopped = asyncio.create_task(oban.stop_queue("default", node=oban._node))
        await until(lambda: "default" not in oban._producers)
        began = time.monotonic()
        await workflow.cancel()
        await stopped
        assert time.monotonic() - began < TIMEOUT / 2


async def test_a_step_whose_thread_goes_on_is_not_started_elsewhere(
    start_oban: StartOban, conn: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with start_oban(shutdown_grace_period=0.0):
        workflow = await Flow("held", holds_a_thread).insert()
        await until(lambda: bool(RUNS))
    assert f'step "holds_a_thread" of workflow {workflow.id} was cut off in attempt 1' in caplog.text
    assert "its thread goes on" in caplog.text
    assert THREADS.lost == 1
    async with start_oban(name="another"):
        for _ in range(3):
            conn.execute("SELECT baton_rescue('0 s')")
        assert states(conn) == [("executing", 1)]
        GO_ON.set()  # and now nobody runs it any more
        await until(lambda: states(conn) == [("completed", 2)], TIMEOUT)
    assert RUNS == [("holds_a_thread", 1), ("holds_a_thread", 2)]
    assert THREADS.lost == 0


async def test_a_result_that_comes_in_time_is_stored_though_the_database_takes_longer(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "MOMENT", 30.0)  # a machine that is busy may need it
    async with start_oban(shutdown_grace_period=0.2) as oban:
        workflow = await Flow("in_time", waits).insert()
        await until(lambda: bool(RUNS))
        with psycopg.connect(dsn) as other:
            other.execute("SELECT FROM workflow_nodes FOR UPDATE")
            GO_ON.set()
            settling = f"SELECT FROM pg_stat_activity WHERE query LIKE '%baton_settle%' AND {WAITING}"
            await until(lambda: conn.execute(settling).fetchone() is not None)
            # The lock is held for longer than the grace, and less than the moment after it.
            asyncio.get_running_loop().call_later(0.4, other.rollback)
            await oban.stop()
    assert states(conn) == [("completed", 1)]
    assert (await workflow.status()).outcome == "completed"


async def test_an_attempt_starts_after_one_that_this_process_runs_still(
    start_oban: StartOban, conn: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody returned the job to the queue, or believed that the process is dead."""
    async with start_oban(stager=SWIFT):
        await Flow("put_back", waits).insert()
        await until(lambda: bool(RUNS))
        conn.execute("UPDATE oban_jobs SET state = 'available'")
        await until(lambda: "it starts after that" in caplog.text)
        assert RUNS == [("waits", 1)]
        GO_ON.set()
        await until(lambda: states(conn) == [("completed", 2)], TIMEOUT)
    assert RUNS == [("waits", 1)]


async def test_threads_that_are_lost_are_counted_and_too_many_end_the_fetching(
    start_oban: StartOban,
    conn: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "MOST_LOST", 2)
    async with start_oban(stager=SWIFT):
        await Flow("lost", loses_its_thread).insert()
        await until(lambda: THREADS.lost == 2, TIMEOUT)
        assert "1 thread of this process is lost" in caplog.text
        assert "2 threads are lost: this process takes no further jobs" in caplog.text
        told = "SELECT meta ->> 'baton_lost_threads' FROM oban_producers"
        await until(lambda: conn.execute(told).fetchone() == ("2",), TIMEOUT)
        report = await read(Database.configured(dsn=conn.info.dsn), examine("public"))
        assert any("has lost 2 threads to steps" in finding.message for finding in report.findings)
        workflow = await Flow("waiting", steps.noop).insert()
        await until(lambda: states(conn)[1] == ("available", 0), TIMEOUT)
        GO_ON.set()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        await until(lambda: conn.execute(told).fetchone() == ("0",), TIMEOUT)
    assert THREADS.lost == 0


def test_threads_are_used_again_and_hold_nothing_of_what_they_ran() -> None:
    pool = threads.Threads("test")
    names = {pool.submit(lambda: threading.current_thread().name).result()}
    for _ in range(20):
        deadline = time.monotonic() + TIMEOUT
        while not pool._idle and time.monotonic() < deadline:
            pass
        names.add(pool.submit(lambda: threading.current_thread().name).result())
    assert len(names) == 1
