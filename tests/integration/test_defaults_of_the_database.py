"""Settings that others made for a database or a role: nothing is lost, and no step runs twice because of them."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from baton_dsl import Each, Flow, Input, step
from baton_dsl.runtime.database.pools import open_pool
from tests.conftest import StartOban, until

SERVER = "SELECT current_setting('server_version_num')::int >= 170000"


@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))


@step
async def left(numbers: list[int]) -> int:
    return sum(numbers)


@step
async def right(numbers: list[int]) -> int:
    return max(numbers)


@step
async def doubled(numbers: Each[int], conn: psycopg.AsyncConnection[Any]) -> int:
    await conn.execute("UPDATE totals SET total = total + 1 WHERE id = 1")
    return numbers * 2


@step
def total(left: int, right: int, doubled: list[int]) -> int:
    return left + right + sum(doubled)


@step
async def tripled(numbers: Each[int], conn: psycopg.AsyncConnection[Any]) -> int:
    return numbers * 3


@step
def tripled_total(left: int, right: int, tripled: list[int]) -> int:
    return left + right + sum(tripled)


@step(max_attempts=2)
async def computes(session: AsyncSession) -> list[str]:
    await session.execute(text("UPDATE totals SET total = total + 1"))
    await asyncio.sleep(1.2)
    return list(
        await session.scalars(
            text(
                "SELECT current_setting(name) FROM unnest(ARRAY["
                "'transaction_isolation', 'idle_in_transaction_session_timeout']) AS name"
            )
        )
    )


@step(max_attempts=2)
def computes_in_a_thread(conn: psycopg.Connection[Any]) -> str:
    conn.execute("UPDATE totals SET total = total + 1")
    asyncio.run(asyncio.sleep(1.2))
    (level,) = conn.execute("SELECT current_setting('transaction_isolation')").fetchone() or ("",)
    return str(level)


@step(max_attempts=2)
def computes_with_a_session(session: Session) -> str:
    session.execute(text("UPDATE totals SET total = total + 1"))
    asyncio.run(asyncio.sleep(1.2))
    return str(session.scalar(text("SELECT current_setting('transaction_isolation')")))


flow = Flow("defaults", numbers, left, right, doubled, total)
alone = Flow("alone", numbers, left, right, tripled, tripled_total)
"""Whose steps wait for no lock of each other's."""


@pytest.fixture(autouse=True)
def totals(conn: psycopg.Connection[Any]) -> None:
    conn.execute("CREATE TABLE totals (id int PRIMARY KEY, total int NOT NULL); INSERT INTO totals VALUES (1, 0)")


def settled(conn: psycopg.Connection[Any], workflow_id: str) -> bool:
    row = conn.execute("SELECT outcome FROM baton_workflows WHERE workflow_id = %s", [workflow_id]).fetchone()
    return row is not None and row[0] is not None


def set_default(conn: psycopg.Connection[Any], **settings: str) -> None:
    """From now on, for every new connection to the database."""
    (database,) = conn.execute("SELECT current_database()").fetchone() or ("",)
    for name, value in settings.items():
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(database), sql.Identifier(name), sql.Literal(value)
            )
        )


@pytest.mark.parametrize("makes_pool", ["application", "ours"])
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
async def test_nothing_is_discarded_and_no_attempt_is_lost_whatever_the_default_isolation_is(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, level: str, makes_pool: str
) -> None:
    set_default(conn, default_transaction_isolation=level)
    pool = (
        await open_pool(dsn, min_size=2, max_size=8)
        if makes_pool == "ours"
        else AsyncConnectionPool(dsn, min_size=2, max_size=8, open=False)
    )
    await pool.open()
    workflows = 20
    async with start_oban(pool=pool, queues={"default": 24}):
        inserted = await asyncio.gather(*(flow.insert(count=6) for _ in range(workflows)))
        for workflow in inserted:
            await workflow.wait(90)
            assert await workflow.result(total) == 15 + 5 + 30
    await pool.close()
    assert conn.execute("SELECT total FROM totals").fetchone() == (6 * workflows,)
    assert conn.execute(
        "SELECT max(attempt), count(*) FILTER (WHERE state <> 'completed') FROM oban_jobs WHERE meta ? 'workflow_id'"
    ).fetchone() == (1, 0)
    assert conn.execute("SELECT count(*) FROM oban_jobs WHERE errors <> '[]'").fetchone() == (0,)


async def test_a_step_may_compute_for_longer_than_a_transaction_may_be_idle(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    limits = {"idle_in_transaction_session_timeout": "500ms", "default_transaction_isolation": "serializable"}
    if conn.execute(SERVER).fetchone() == (True,):
        limits["transaction_timeout"] = "700ms"
    set_default(conn, **limits)
    async with AsyncConnectionPool(dsn, min_size=1, open=False) as pool, start_oban(pool=pool):
        workflow = await Flow("f", computes, computes_in_a_thread, computes_with_a_session).insert()
        status = await workflow.wait(60)
        assert status.outcome == "completed", [node.error for node in await workflow.nodes()]
        assert await workflow.result(computes) == ["read committed", "0"]
        assert await workflow.result(computes_in_a_thread) == "read committed"
        assert await workflow.result(computes_with_a_session) == "read committed"
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    assert conn.execute("SELECT total FROM totals").fetchone() == (3,)


async def test_short_limits_of_statements_locks_and_idle_sessions_cost_no_attempt(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    set_default(conn, statement_timeout="150ms", lock_timeout="20ms", idle_session_timeout="300ms")
    pool = await open_pool(dsn, min_size=2, max_size=8)
    async with start_oban(pool=pool):
        alone.options(workflow_id="first").insert(conn, count=40)
        await until(lambda: settled(conn, "first"), 60)
        await asyncio.sleep(0.8)  # what is idle in the pool is ended by the server meanwhile
        alone.options(workflow_id="second").insert(conn, count=2)
        await until(lambda: settled(conn, "second"), 60)
    await pool.close()
    assert conn.execute(
        "SELECT max(attempt), count(*) FILTER (WHERE state <> 'completed') FROM oban_jobs WHERE meta ? 'workflow_id'"
    ).fetchone() == (1, 0)
