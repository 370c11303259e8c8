"""`wait()` without an Oban instance: it listens and reads on one connection, and survives the loss of it."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.runtime import workflow as handles
from tests.conftest import until
from tests.integration.modules import steps


def others(conn: psycopg.Connection[Any]) -> list[int]:
    """The backends of this database on which somebody else has read, and now waits."""
    rows = conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
        "AND pid <> pg_backend_pid() AND state = 'idle' AND query = 'COMMIT'"
    ).fetchall()
    return [pid for (pid,) in rows]


def inserted(conn: psycopg.Connection[Any], dsn: str) -> Workflow:
    return Workflow.load(Flow("one").add("only", steps.noop).insert(conn).id, dsn=dsn)


def settle(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "SELECT baton_settle(ARRAY[oban_job_id], ARRAY[0::int2], ARRAY['7'], NULL, '[]', false) FROM workflow_nodes"
    )


async def test_it_has_one_connection_which_is_there_before_the_end(conn: psycopg.Connection[Any], dsn: str) -> None:
    waiting = asyncio.create_task(inserted(conn, dsn).wait(timeout=30))
    await until(lambda: others(conn) != [])
    listening = others(conn)
    assert len(listening) == 1
    settle(conn)
    assert (await waiting).outcome == "completed"
    await until(lambda: others(conn) == [])


async def test_it_goes_on_when_its_connection_is_lost(
    conn: psycopg.Connection[Any], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "POLL", 0.2)
    waiting = asyncio.create_task(inserted(conn, dsn).wait(timeout=30))
    await until(lambda: others(conn) != [])
    (lost,) = others(conn)
    conn.execute("SELECT pg_terminate_backend(%s)", [lost])
    await until(lambda: others(conn) not in ([], [lost]))
    settle(conn)
    assert (await waiting).outcome == "completed"


async def test_an_end_that_nobody_hears_is_found(
    conn: psycopg.Connection[Any], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "POLL", 0.2)
    waiting = asyncio.create_task(inserted(conn, dsn).wait(timeout=30))
    await until(lambda: others(conn) != [])
    conn.execute("UPDATE baton_workflows SET outcome = 'completed', unsettled = 0, settled_at = now()")
    assert (await waiting).outcome == "completed"


async def test_many_ends_are_heard_each_by_its_own(conn: psycopg.Connection[Any], dsn: str) -> None:
    handles_of = [inserted(conn, dsn) for _ in range(5)]
    waiting = [asyncio.create_task(each.wait(timeout=30)) for each in handles_of]
    await until(lambda: len(others(conn)) == 5)
    settle(conn)
    assert {(await each).outcome for each in waiting} == {"completed"}
