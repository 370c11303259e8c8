"""A step that runs is never started twice; a step whose process is gone starts again within seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow
from baton_dsl.runtime.oban.bridge import Running
from tests.conftest import StartOban
from tests.integration.modules import steps
from tests.integration.modules.long_steps import hangs, hangs_at_first

TIMEOUT = 60
DEAD = str(uuid4())
GUARDED = "SELECT bool_and(meta -> 'baton_guarded' = 'true') FROM oban_producers"


async def until(conn: psycopg.Connection[Any], query: str, expected: Any) -> None:
    """Poll until a query has an answer."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            row = conn.execute(query).fetchone()
            if row is not None and row[0] == expected:
                return
            await asyncio.sleep(0.02)


STATES = "SELECT string_agg(state::text, ' ' ORDER BY id) FROM oban_jobs"


async def test_the_lifeline_leaves_a_running_step_alone_even_in_its_last_attempt(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(shutdown_grace_period=0.1) as oban:
        await Flow("long").add("first", hangs_at_first).add("last", hangs).insert()
        await until(conn, STATES, "executing executing")
        await oban._query.rescue_jobs(0)
        assert conn.execute(STATES).fetchone() == ("executing executing",)


async def test_the_lifeline_does_with_jobs_of_no_workflow_what_it_did_before(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await oban.enqueue(steps.ExportWorker.new({}, max_attempts=1))
        await oban.enqueue(steps.ExportWorker.new({}, max_attempts=2))
        await oban._query.fetch_jobs(demand=2, queue="default", node="n", uuid=DEAD)
        conn.execute("SELECT baton_rescue('0 s')").fetchone()
        assert conn.execute("SELECT baton_rescue('0 s')").fetchone() == (0,)
        await oban._query.rescue_jobs(0)
    assert conn.execute(STATES).fetchone() == ("discarded available",)


@pytest.mark.parametrize("statement", ["SET state = 'discarded', discarded_at = now()", "SET state = 'available'"])
async def test_somebody_who_ends_a_running_step_in_sql_has_his_way(
    start_oban: StartOban, conn: psycopg.Connection[Any], statement: str
) -> None:
    async with start_oban(queues={}) as oban:
        await Flow("ended", hangs).insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)
        conn.execute(f"UPDATE oban_jobs {statement}")
    assert conn.execute("SELECT state::text FROM oban_jobs").fetchone() != ("executing",)


async def test_a_guarded_producer_lives_as_long_as_its_process_however_late_its_sign_of_life_is(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(shutdown_grace_period=0.1):
        await Flow("long", hangs).insert()
        await until(conn, STATES, "executing")
        await until(conn, GUARDED, True)
        conn.execute("UPDATE oban_producers SET updated_at = now() - interval '1 day'")
        for _ in range(2):
            conn.execute("SELECT baton_rescue('0 s')")
        assert conn.execute(STATES).fetchone() == ("executing",)
        conn.execute("DELETE FROM oban_producers")  # as a crash of the server does
        for _ in range(2):
            conn.execute("SELECT baton_rescue('0 s')")
        assert conn.execute(STATES).fetchone() == ("executing",)


async def test_a_guard_that_can_not_connect_tries_again_whatever_kept_it(
    start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function that returns a password may raise any error; running steps must not look orphaned then."""
    connect = Running.connect
    failures = [RuntimeError("no token today"), OSError("no route to it")]

    def failing(running: Running) -> psycopg.Connection[Any]:
        if failures:
            raise failures.pop()
        return connect(running)

    monkeypatch.setattr(Running, "connect", failing)
    async with start_oban():
        await until(conn, GUARDED, True)
    assert failures == []


async def test_a_producer_without_a_guard_lives_as_long_as_oban_says(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await Flow("elsewhere", hangs_at_first).insert()
        await oban._query.insert_producer(uuid=DEAD, name="Oban", node="n", queue="default", meta={})
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)
        for _ in range(2):
            conn.execute("SELECT baton_rescue('0 s')")
        assert conn.execute(STATES).fetchone() == ("executing",)
        conn.execute("UPDATE oban_producers SET updated_at = timezone('UTC', now()) - interval '61 seconds'")
        for _ in range(2):
            conn.execute("SELECT baton_rescue('0 s')")
        assert conn.execute(STATES).fetchone() == ("available",)


async def test_a_producer_that_is_not_seen_is_given_time_to_come_back(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await Flow("gone", hangs_at_first).insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)
        for _ in range(3):
            assert conn.execute("SELECT baton_rescue()").fetchone() == (0,)
        assert conn.execute("SELECT producer FROM baton_suspects").fetchall() == [(DEAD,)]
        await oban._query.insert_producer(uuid=DEAD, name="Oban", node="n", queue="default", meta={})
        conn.execute("SELECT baton_rescue()")
        assert conn.execute("SELECT producer FROM baton_suspects").fetchall() == []


async def test_a_look_for_orphans_asks_once_for_each_producer_and_not_for_each_job(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        flow = Flow("many")
        for number in range(20):
            flow.add(f"step_{number}", hangs_at_first)
        await flow.insert()
        await oban._query.fetch_jobs(demand=20, queue="default", node="n", uuid=DEAD)
        with conn.transaction():
            conn.execute("SET LOCAL track_functions TO 'all'")
            conn.execute("SELECT baton_rescue()")
            asked = conn.execute(
                "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'baton_lives'"
            ).fetchone()
        assert asked == (1,)


async def test_any_oban_process_that_starts_looks_for_orphans(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await Flow("gone", hangs_at_first).insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid=DEAD)
        conn.execute("INSERT INTO baton_suspects VALUES (%s, now() - interval '1 minute')", [DEAD])
        await oban._query.insert_producer(uuid=str(uuid4()), name="Oban", node="new", queue="other", meta={})
    assert conn.execute(STATES).fetchone() == ("available",)
    assert "BTN508" in conn.execute("SELECT errors::text FROM oban_jobs").fetchone()[0]  # type: ignore[index]


async def test_a_producer_that_dies_before_its_guard_works_is_known_to_be_gone_within_seconds(
    start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton_dsl.runtime.oban.guard.Guard.start", lambda _: None)
    async with start_oban():
        row = conn.execute("SELECT uuid, meta ->> 'baton_guarded', baton_lives(uuid::text) FROM oban_producers")
        producer, guarded, lives = row.fetchone() or ("", "", None)
        assert (guarded, lives) == ("soon", True)
        conn.execute("UPDATE oban_producers SET updated_at = timezone('UTC', now()) - interval '6 seconds'")
        assert conn.execute("SELECT baton_lives(%s)", [str(producer)]).fetchone() == (False,)


NODE = """
import asyncio, sys
from baton_dsl.runtime.executing.process import serve
asyncio.run(serve(sys.argv[1], queues={"default": 5}))
"""


async def test_a_step_of_a_killed_process_starts_again_within_seconds(
    start_oban: StartOban, pool: AsyncConnectionPool[Any], conn: psycopg.Connection[Any], dsn: str
) -> None:
    async with start_oban(queues={}):
        workflow = await Flow("killed").add("first", hangs_at_first).add("next", steps.noop, deps=["first"]).insert()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, dsn)
    try:
        await until(conn, STATES, "executing suspended")
        await until(conn, GUARDED, True)
    finally:
        async with start_oban():
            os.kill(process.pid, signal.SIGKILL)
            killed = time.monotonic()
            await process.wait()
            status = await workflow.wait(TIMEOUT)
            seconds = time.monotonic() - killed
            assert await workflow.result("first") == 2
    assert status.outcome == "completed"
    assert seconds < 30  # Oban alone would take a minute
    print(f"from kill -9 to the end of the workflow: {seconds:.1f} s")
