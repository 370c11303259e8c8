"""Through pgbouncer in transaction mode, everything works except a worker without a direct DSN, which says so."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import baton_dsl.runtime.executing.worker  # noqa: F401 - so that each instance is accompanied from its start
from baton_dsl import Flow, Workflow
from baton_dsl.cli.main import run
from baton_dsl.errors import SessionNeededError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.pooling import Route, require_session, route_of
from baton_dsl.runtime.workflow import POLL
from tests.cli.test_on_a_database import BATON, ROOT, environment, wait_until_ready
from tests.conftest import StartOban, until
from tests.integration.modules import steps
from tests.integration.modules.long_steps import waits_for_cancellation
from tests.integration.modules.pooled_steps import pooled
from tests.integration.test_silence import LOCKED_HERE
from tests.pgbouncer import pgbouncer

TIMEOUT = 60


@pytest.fixture
def pooler(dsn: str) -> Iterator[str]:
    with pgbouncer(dsn) as through:
        yield through


@contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*BATON, "worker", "tests.integration.modules.pooled_steps", *arguments],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10])
def test_a_pooled_transaction_is_no_session(dsn: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton_dsl.runtime.database.pooling.ANSWER", 1.0)  # with one server, nobody gets a second one
    with pgbouncer(dsn, size=size) as through:
        with pytest.raises(SessionNeededError):
            require_session(through)
        assert route_of(Database.configured(dsn=through).sync_connection) is Route.TRANSACTIONS


def test_a_pooled_session_is_one(dsn: str) -> None:
    with pgbouncer(dsn, mode="session") as through:
        require_session(through)
        assert route_of(Database.configured(dsn=through).sync_connection) is Route.SESSIONS
    require_session(dsn)
    assert route_of(Database.configured(dsn=dsn).sync_connection) is Route.DIRECT


def test_a_worker_without_a_session_refuses_with_a_sentence(pooler: str) -> None:
    with worker("--dsn", pooler) as process:
        _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 4
    assert "BTN422" in said
    assert "--direct-dsn" in said
    assert "Traceback" not in said


async def test_a_worker_that_knows_the_server_itself_works_through_a_pooler(
    dsn: str, pooler: str, conn: psycopg.Connection[Any]
) -> None:
    conn.execute("CREATE TABLE notes (note text)")
    with worker("--dsn", pooler, "--direct-dsn", dsn, "--log-level", "warning", "--processes", "2") as process:
        workflows = [pooled.insert(conn, count=10) for _ in range(10)]
        query = "SELECT count(*) FROM baton_workflows WHERE outcome = 'completed'"
        await until(lambda: conn.execute(query).fetchone() == (10,), TIMEOUT)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, log) == (0, "")
    assert workflows[0].sync.result("total") == sum(range(10))
    assert conn.execute("SELECT count(*) FROM notes").fetchone() == (20,)
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)


async def test_its_steps_start_again_within_seconds_when_it_is_killed_and_hear_of_cancellations(
    dsn: str, pooler: str, conn: psycopg.Connection[Any], start_oban: StartOban
) -> None:
    workflow = Flow("held", waits_for_cancellation).insert(conn)
    with worker("--dsn", pooler, "--direct-dsn", dsn) as process:
        wait_until_ready(process)
        attempt = "SELECT state::text, attempt FROM oban_jobs"
        await until(lambda: conn.execute(attempt).fetchone() == ("executing", 1), TIMEOUT)
        process.kill()
        process.wait()
    with worker("--dsn", pooler, "--direct-dsn", dsn) as process:
        await until(lambda: conn.execute(attempt).fetchone() == ("executing", 2), TIMEOUT)
        assert await Workflow.load(workflow.id, dsn=pooler).cancel()
        assert (await Workflow.load(workflow.id, dsn=pooler).wait(TIMEOUT)).outcome == "cancelled"


async def test_an_instance_behind_a_pooler_says_that_it_has_no_guard_and_works_on(
    pooler: str, start_oban: StartOban, conn: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        AsyncConnectionPool[Any](
            pooler, min_size=1, max_size=4, open=False, kwargs={"prepare_threshold": None}
        ) as pool,
        start_oban(pool=pool, stager={"interval": 0.05}),
    ):
        await until(lambda: "BTN422" in caplog.text, TIMEOUT)
        await until(lambda: conn.execute("SELECT meta ? 'baton_guarded' FROM oban_producers").fetchone() == (False,))
        workflows = [Flow("noop", steps.noop).insert(conn) for _ in range(20)]
        for workflow in workflows:
            await workflow.wait(TIMEOUT)
    locks = f"SELECT count(*) FROM pg_locks WHERE {LOCKED_HERE}".encode()  # a rescue holds one for a moment
    await until(lambda: conn.execute(locks).fetchone() == (0,), TIMEOUT)


async def test_a_lock_that_a_pooler_has_kept_is_told_by_the_doctor(
    dsn: str, conn: psycopg.Connection[Any], start_oban: StartOban, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a worker leaves behind that did not detect the pooler."""
    gone = str(uuid4())
    async with start_oban(queues={}) as oban:
        await Flow("left", steps.noop).insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="web.1", uuid=gone)
    with psycopg.connect(dsn, autocommit=True) as kept:
        kept.execute("SELECT pg_advisory_lock(baton_producer_key(%s))", [gone])
        kept.execute("SELECT 'of somebody else'")
        assert await asyncio.to_thread(run, ["doctor", "--dsn", dsn]) == 1
        said = capsys.readouterr().out
        assert "1 step ran on node web.1" in said
        assert f"SELECT pg_terminate_backend({kept.info.backend_pid})" in said
    await asyncio.to_thread(run, ["doctor", "--dsn", dsn])
    assert "pg_terminate_backend" not in capsys.readouterr().out


# --- everybody else --------------------------------------------------------------------------------------------------


def test_inserts_work_on_plain_connections(pooler: str, conn: psycopg.Connection[Any]) -> None:
    """psycopg prepares a statement after five executions, and the pooler gives each transaction another session."""
    with psycopg.connect(pooler) as one, psycopg.connect(pooler) as other, psycopg.connect(pooler) as third:
        for _ in range(15):
            for each in (one, other):
                Flow("pooled", steps.noop).insert(each)
            one.commit()
            Flow("pooled", steps.noop).insert(third)
            third.commit()
            other.commit()
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (45,)


async def test_inserts_work_on_async_connections(pooler: str, conn: psycopg.Connection[Any]) -> None:
    async def insert() -> None:
        async with await psycopg.AsyncConnection.connect(pooler) as own:
            for _ in range(15):
                await Flow("pooled", steps.noop).insert(own)
                await own.commit()

    await asyncio.gather(*(insert() for _ in range(3)))
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (45,)


def test_inserts_work_in_sessions_of_sqlalchemy(pooler: str, conn: psycopg.Connection[Any]) -> None:
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(pooler, prepare_threshold=None), pool_size=3
    )
    for _ in range(15):
        with Session(engine) as session, session.begin(), Session(engine) as other, other.begin():
            Flow("pooled", steps.noop).insert(session)
            Flow("pooled", steps.noop).insert(other)
    engine.dispose()
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (30,)


async def test_handles_wait_though_nothing_is_heard(
    pooler: str, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        for _ in range(3):
            workflow = Workflow.load(Flow("awaited", steps.noop).insert(conn).id, dsn=pooler, oban="none")
            began = time.monotonic()
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
            assert (await asyncio.to_thread(workflow.sync.wait, TIMEOUT)).outcome == "completed"
            assert time.monotonic() - began < POLL  # the pauses between two looks are at most a second
        held = Flow("held", steps.waits_for_a_sign).insert(conn)
        waiting = asyncio.create_task(
            asyncio.to_thread(Workflow.load(held.id, dsn=pooler, oban="none").sync.wait, TIMEOUT)
        )
        await asyncio.wait_for(steps.SIGNS.waiting(), TIMEOUT)
        await asyncio.sleep(0.3)
        steps.SIGNS.give()
        assert (await waiting).outcome == "completed"


def test_every_command_works_through_a_pooler(
    pooler: str, conn: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = Flow("operated").add("first", steps.noop).add("next", steps.noop, deps=["first"]).insert(conn)
    there = ["--dsn", pooler]
    commands = [
        (["install"], 0),
        (["list"], 0),
        (["status", workflow.id], 0),
        (["why", workflow.id], 0),
        (["pause", workflow.id], 0),
        (["resume", workflow.id], 0),
        (["cancel", workflow.id], 0),
        (["retry", workflow.id], 0),
        (["retry", workflow.id, "--from", "first"], 0),
        (["check-deploy", "tests.integration.modules.steps"], 0),
        (["doctor"], 1),
        (["cancel", workflow.id], 0),
        (["prune", "--older-than", "0s", "--yes"], 0),
        (["run", "tests.integration.modules.pooled_steps:pooled", "-i", "count=1", "--timeout", "0.2"], 3),
    ]
    for _ in range(3):  # by then psycopg would have prepared something
        for command, code in commands[:7]:
            assert run([*command, *there]) == code, (command, capsys.readouterr())
        assert run([*commands[7][0], *there]) == 0
    for command, code in commands[8:]:
        assert run([*command, *there]) == code, (command, capsys.readouterr())
