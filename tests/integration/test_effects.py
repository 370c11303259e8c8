"""The writes of a step on the connection it takes are stored together with its result, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from oban import Cancel, Snooze
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow, Workflow
from baton_dsl.runtime.executing import effects as runtime_effects
from tests.conftest import StartOban, until
from tests.integration.modules import effect_steps as shop
from tests.integration.modules import steps
from tests.integration.test_at_once import WAITING

TIMEOUT = 60


@pytest.fixture(autouse=True)
def tables(conn: psycopg.Connection[Any]) -> Iterator[None]:
    conn.execute(shop.TABLES)
    shop.DURING.clear()
    shop.RAN.clear()
    yield
    shop.DURING.clear()


@pytest.fixture(params=shop.EVERY, ids=lambda step: step.name)
def every(request: pytest.FixtureRequest) -> Any:
    return request.param


def booked(conn: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return conn.execute("SELECT step, attempt FROM bookings ORDER BY id").fetchall()


def outcomes(conn: psycopg.Connection[Any]) -> dict[str, tuple[str | None, str]]:
    rows = conn.execute(
        "SELECT step_name, outcome, state::text FROM workflow_nodes JOIN oban_jobs ON id = oban_job_id"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


async def ends(workflow: Workflow[Any], outcome: str) -> None:
    """Wait for the end; if it is not the expected one, the failure shows the errors of the nodes."""
    status = await workflow.wait(TIMEOUT)
    assert status.outcome == outcome, [node.error for node in await workflow.nodes()]


def meanwhile(step: Any, act: Any) -> None:
    """Make a step run a function while it is running: in its thread, or on the loop."""

    async def act_async(connection: Any) -> Any:
        return act(connection)

    shop.DURING[step.name] = act_async if step.is_async else act


def flow_of(step: Any) -> Flow:
    """The step, and one that waits for it."""
    return Flow("shop").add(step.name, step).add("next", steps.noop, deps=[step.name])


async def test_writes_and_result_are_stored_together(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    stored: list[tuple[Any, ...]] = []
    look = "SELECT (SELECT count(*) FROM bookings), (SELECT count(*) FROM workflow_nodes WHERE outcome IS NOT NULL)"
    meanwhile(every, lambda _: stored.append(conn.execute(look).fetchone()))
    async with start_oban():
        workflow = await flow_of(every).insert()
        await ends(workflow, "completed")
        assert await workflow.result(every.name) == 1
    assert stored == [(0, 0)]
    assert booked(conn) == [(every.name, 1)]
    assert outcomes(conn) == {every.name: ("completed", "completed"), "next": ("completed", "completed")}


async def test_what_it_promotes_takes_its_place_in_the_queue_in_the_same_transaction(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    async with start_oban(queues={"default": 1}):
        workflow = await flow_of(every).insert()
        await ends(workflow, "completed")
    claimed = "SELECT attempted_at = (SELECT completed_at FROM oban_jobs WHERE id = 1) FROM oban_jobs WHERE id = 2"
    assert conn.execute(claimed).fetchone() == (True,)


async def test_each_item_of_a_map_has_a_transaction_of_its_own_and_one_that_skips_keeps_its_writes(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await Flow("mapped", shop.accounts, shop.open_account, shop.opened).insert()
        await ends(workflow, "completed")
        assert await workflow.result(shop.opened) == [1, 3]
    assert conn.execute("SELECT count(*), count(DISTINCT xmin::text) FROM accounts").fetchone() == (4, 4)


async def test_an_exception_rolls_back_and_is_an_attempt(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    def fail_at_first(_: Any) -> None:
        if len(shop.RAN) == 1:
            raise RuntimeError("no luck today")

    meanwhile(every, fail_at_first)
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(every).insert()
        await ends(workflow, "completed")
    assert booked(conn) == [(every.name, 2)]


async def test_a_workflow_that_a_step_inserts_is_there_with_its_result_or_not_at_all(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    child = Flow("child", workflow_id="child").add("only", steps.noop)

    def insert_and_fail_at_first(connection: Any) -> None:
        child.insert(connection)
        if len(shop.RAN) == 1:
            raise RuntimeError("no luck today")

    async def insert_async_and_fail_at_first(connection: Any) -> None:
        await child.insert(connection)
        if len(shop.RAN) == 1:
            raise RuntimeError("no luck today")

    shop.DURING[every.name] = insert_async_and_fail_at_first if every.is_async else insert_and_fail_at_first
    async with start_oban(stager={"interval": 0.02}):
        await ends(await flow_of(every).insert(), "completed")
        await ends(Workflow.load("child"), "completed")
    assert len(shop.RAN) == 2, "in the second attempt, the id is free: the first one has left nothing"
    assert booked(conn) == [(every.name, 2)]


@pytest.mark.parametrize("ending", [Cancel("no stock"), Snooze(0)], ids=["cancel", "snooze"])
async def test_cancel_and_snooze_roll_back(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any, ending: Any
) -> None:
    meanwhile(every, lambda _: ending if len(shop.RAN) == 1 else None)
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(every).insert()
        outcome = (await workflow.wait(TIMEOUT)).outcome
    if isinstance(ending, Cancel):
        assert (outcome, booked(conn)) == ("cancelled", [])
    else:
        assert (outcome, booked(conn), len(shop.RAN)) == ("completed", [(every.name, 1)], 2)


async def test_a_result_that_can_not_be_stored_rolls_back(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    meanwhile(every, lambda _: "no number")
    async with start_oban():
        workflow = await flow_of(every).insert()
        await ends(workflow, "discarded")
    assert booked(conn) == []
    assert len(shop.RAN) == 1


async def test_a_constraint_that_is_checked_at_the_commit_leaves_no_result(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    step = shop.unflushed.bind(account=7)
    async with start_oban():
        workflow = await Flow("deferred", step).insert()
        await until(lambda: outcomes(conn)["unflushed"] == (None, "retryable"), TIMEOUT)
        assert "ForeignKeyViolation" in ((await workflow.nodes())[0].error or "")
        conn.execute("INSERT INTO accounts VALUES (7)")
        conn.execute("UPDATE oban_jobs SET state = 'available'")
        await until(lambda: outcomes(conn)["unflushed"][0] is not None or notified(conn), TIMEOUT)
    assert booked(conn) == [("unflushed", 1)]


def notified(conn: psycopg.Connection[Any]) -> bool:
    """Wakes the producer that waits for the next notification."""
    conn.execute("SELECT pg_notify('public.oban_insert', '{\"queue\": \"default\"}')")
    return False


# --- the promise can't be broken by the function ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["commit", "rollback"])
@pytest.mark.parametrize("step", [shop.by_psycopg, shop.by_connection], ids=lambda step: step.name)
async def test_a_connection_refuses_to_commit_or_to_roll_back(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: Any, how: str
) -> None:
    meanwhile(step, lambda connection: getattr(connection, how)())
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(step).insert()
        await ends(workflow, "discarded")
        nodes = {node.step: node for node in await workflow.nodes()}
    assert f"Explicit {how}() forbidden within a Transaction context" in (nodes[step.name].error or "")
    assert booked(conn) == []


@pytest.mark.parametrize("step", [shop.by_async_psycopg, shop.by_async_connection], ids=lambda step: step.name)
async def test_so_does_an_async_one(start_oban: StartOban, conn: psycopg.Connection[Any], step: Any) -> None:
    async def commit(connection: Any) -> None:
        await connection.commit()

    shop.DURING[step.name] = commit
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(step).insert()
        await ends(workflow, "discarded")
    assert booked(conn) == []


async def test_the_commit_of_a_session_stores_nothing_before_the_step_has_ended(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    def commit_and_fail(session: Any) -> None:
        session.commit()
        if len(shop.RAN) == 1:
            raise RuntimeError("after the commit")
        session.add(shop.Booking(step="second", attempt=2))
        session.commit()
        session.add(shop.Booking(step="undone", attempt=2))
        session.rollback()

    shop.DURING["by_session"] = commit_and_fail
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(shop.by_session).insert()
        await ends(workflow, "completed")
    assert booked(conn) == [("by_session", 2), ("second", 2)]


@pytest.mark.parametrize("statements", [("COMMIT",), ("ROLLBACK",), ("COMMIT", "BEGIN")], ids=" ".join)
async def test_a_transaction_that_is_ended_with_sql_is_found_out(
    start_oban: StartOban, conn: psycopg.Connection[Any], statements: tuple[str, ...]
) -> None:
    def end(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement)

    meanwhile(shop.by_psycopg, end)
    async with start_oban():
        workflow = await flow_of(shop.by_psycopg).insert()
        await ends(workflow, "discarded")
        nodes = {node.step: node for node in await workflow.nodes()}
    assert "BTN510" in (nodes["by_psycopg"].error or "")
    assert len(shop.RAN) == 1


# --- another hand, a lock, a lost connection -------------------------------------------------------------------------


async def test_an_attempt_that_was_overtaken_rolls_back(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    end = "UPDATE oban_jobs SET state = 'completed' WHERE meta ->> 'workflow_name' = %s"
    meanwhile(every, lambda _: conn.execute(end, [every.name]) and None)
    async with start_oban():
        workflow = await flow_of(every).insert()
        await ends(workflow, "completed")
        await until(lambda: len(shop.RAN) == 1)
    assert booked(conn) == []


async def test_of_two_attempts_at_once_one_writes(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    """The job is returned to its queue while it runs, as if its process looked dead; another worker takes it."""
    both = threading.Barrier(2)
    again = "UPDATE oban_jobs SET state = 'available' WHERE id = 1"

    def wait_for_the_other(_: Any) -> None:
        both.wait(TIMEOUT)

    async def wait_for_the_other_async(_: Any) -> None:
        await asyncio.to_thread(both.wait, TIMEOUT)

    shop.DURING[every.name] = wait_for_the_other_async if every.is_async else wait_for_the_other
    async with start_oban(queues={"default": 1}):
        workflow = await flow_of(every).insert()
        await until(lambda: len(shop.RAN) == 1, TIMEOUT)
        async with start_oban(name="another"):
            conn.execute(again)
            notified(conn)
            await ends(workflow, "completed")
            await until(lambda: len(shop.RAN) == 2, TIMEOUT)
    assert len(booked(conn)) == 1
    assert outcomes(conn)["next"] == ("completed", "completed")


async def test_a_settle_that_waits_too_long_for_a_lock_gives_up_the_lock_and_not_the_writes(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, every: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_effects, "pause_after", lambda _: 0.01)
    async with start_oban():
        with psycopg.connect(dsn) as other:
            flow = flow_of(every)
            meanwhile(every, lambda _: other.execute(f"{NEXT} FOR UPDATE") and None)
            workflow = await flow.insert()
            await until(lambda: waits(conn), TIMEOUT)
            await asyncio.to_thread(other.execute, "SELECT pg_sleep(0.6)")  # longer than a settle waits for a lock
        await ends(workflow, "completed")
    assert len(shop.RAN) == 1
    assert booked(conn) == [(every.name, 1)]


NEXT = "SELECT FROM workflow_nodes WHERE step_name = 'next'"


def waits(conn: psycopg.Connection[Any]) -> bool:
    """Whether a settle is waiting for a lock."""
    return (
        conn.execute(
            f"SELECT FROM pg_stat_activity WHERE query LIKE '%baton_settle%' AND {WAITING}".encode()
        ).fetchone()
        is not None
    )


async def test_a_connection_that_is_lost_before_the_commit_runs_the_function_again_within_the_attempt(
    start_oban: StartOban, conn: psycopg.Connection[Any], every: Any
) -> None:
    cutting = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()"
    )

    def cut(_: Any) -> None:
        if len(shop.RAN) == 1:
            conn.execute(cutting)

    meanwhile(every, cut)
    async with start_oban():
        workflow = await flow_of(every).insert()
        await ends(workflow, "completed")
    assert booked(conn) == [(every.name, 1)]
    assert len(shop.RAN) == 2


def lose_an_answer(monkeypatch: pytest.MonkeyPatch, *, is_async: bool) -> list[str]:
    """Cut the connection of the first step that commits, after the server has done it. Returns what was lost so far.

    Handles read in transactions too: so the test looks at the tables, lest it loses an answer of its own.
    """
    lost: list[str] = []
    transaction = psycopg.AsyncTransaction if is_async else psycopg.Transaction
    leave = transaction.__aexit__ if is_async else transaction.__exit__

    def lose(self: Any, kind: Any) -> None:
        if not self.savepoint_name and kind is None and shop.RAN and not lost:
            lost.append("the answer")
            raise psycopg.OperationalError("the connection was cut")

    def leave_sync(self: Any, *error: Any) -> Any:
        done = leave(self, *error)
        lose(self, error[0])
        return done

    async def leave_async(self: Any, *error: Any) -> Any:
        done = await leave(self, *error)
        lose(self, error[0])
        return done

    if is_async:
        monkeypatch.setattr(transaction, "__aexit__", leave_async)
    else:
        monkeypatch.setattr(transaction, "__exit__", leave_sync)
    return lost


@pytest.mark.parametrize("step", [shop.by_psycopg, shop.by_async_psycopg], ids=lambda step: step.name)
async def test_a_commit_whose_answer_is_lost_is_not_done_twice_and_what_it_claimed_runs(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_oban(queues={"default": 1}):
        lost = lose_an_answer(monkeypatch, is_async=step.is_async)
        await flow_of(step).insert()
        await until(lambda: conn.execute("SELECT outcome FROM baton_workflows").fetchone() == ("completed",))
    assert lost
    assert len(shop.RAN) == 1
    assert booked(conn) == [(step.name, 1)]


async def test_a_settle_that_is_repeated_gives_its_connection_back(
    start_oban: StartOban,
    conn: psycopg.Connection[Any],
    pool: AsyncConnectionPool[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other settle follows, which would give it back too."""
    async with start_oban(queues={"default": 1}):
        lost = lose_an_answer(monkeypatch, is_async=True)
        await Flow("only", shop.by_async_psycopg).insert()
        await until(lambda: conn.execute("SELECT state::text FROM oban_jobs").fetchone() == ("completed",))
    assert lost
    assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]


@pytest.mark.parametrize("step", [shop.slow_by_session, shop.slow_by_async_session], ids=lambda step: step.name)
async def test_an_attempt_that_runs_out_of_time_rolls_back_even_if_its_thread_goes_on(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: Any
) -> None:
    go_on = threading.Event()

    async def hang(_: Any) -> None:
        if len(shop.RAN) == 1:
            await asyncio.Event().wait()

    def hang_in_thread(_: Any) -> None:
        if len(shop.RAN) == 1:
            assert go_on.wait(TIMEOUT)

    shop.DURING[step.name] = hang if step.is_async else hang_in_thread
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow_of(step).insert()
        await ends(workflow, "completed")
        go_on.set()
        await until(lambda: idle(conn), TIMEOUT)
    assert booked(conn) == [(step.name, 2)]


def idle(conn: psycopg.Connection[Any]) -> bool:
    """Whether no transaction is open."""
    return (
        conn.execute(
            "SELECT FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        ).fetchone()
        is None
    )


async def test_two_hundred_steps_with_connections_share_what_the_queue_lets_run(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("many")
    for number in range(200):
        step = shop.EVERY[number % len(shop.EVERY)]
        flow.add(f"{step.name} {number}", step)
    flow.add("total", shop.total, deps=[entry.name for entry in flow.entries])
    async with start_oban(queues={"default": 12}):
        workflow = await flow.insert()
        await ends(workflow, "completed")
        assert await workflow.result("total") == 200
    assert conn.execute("SELECT count(*), count(DISTINCT step), max(attempt) FROM bookings").fetchone() == (200, 200, 1)


async def test_no_connection_outlives_the_instance(
    start_oban: StartOban, conn: psycopg.Connection[Any], pool: Any
) -> None:
    async with start_oban():
        workflow = await Flow("two").add("a", shop.by_session).add("b", shop.by_async_session).insert()
        await workflow.wait(TIMEOUT)
    await pool.close()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await until(lambda: conn.execute(others).fetchone() == (0,), TIMEOUT)


# --- a process that is killed ----------------------------------------------------------------------------------------

NODE = """
import asyncio, sys
from baton_dsl.runtime.executing.process import serve
asyncio.run(serve(sys.argv[1], queues={"default": 5}))
"""


@pytest.mark.parametrize("step", [shop.by_session, shop.by_async_psycopg], ids=lambda step: step.name)
async def test_a_process_killed_between_the_function_and_the_commit_leaves_neither_writes_nor_a_result(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, step: Any
) -> None:
    async with start_oban(queues={}):
        workflow = await flow_of(step).insert()
    with psycopg.connect(dsn) as other:
        other.execute(f"{NEXT} FOR UPDATE")  # holds the settle, after the function and before the commit
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, dsn)
        try:
            await until(lambda: waits(conn), TIMEOUT)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        await until(lambda: idle(conn) or not waits(conn), TIMEOUT)
    assert booked(conn) == []
    assert outcomes(conn)[step.name] == (None, "executing")
    async with start_oban():
        await ends(workflow, "completed")
    assert booked(conn) == [(step.name, 2)]
