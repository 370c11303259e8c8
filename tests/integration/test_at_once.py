"""Two hands at the same workflow at the same moment: nothing is lost, nothing waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from baton_dsl import Flow, Workflow
from tests.conftest import until
from tests.integration import steps

ROUNDS = 100

SETTLE = "SELECT FROM baton_settle(ARRAY[%s::int8], ARRAY[1::int2], ARRAY['7'], NULL, '[]', false)"
type Act = Callable[[psycopg.Connection[Any]], object]


def at_once(dsn: str, *acts: Act) -> None:
    """Run each on a connection of its own, all at the same moment, again as long as PostgreSQL asks for that."""
    barrier = threading.Barrier(len(acts))
    failures: list[BaseException] = []

    def run(act: Act) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as conn:
                barrier.wait(10)
                while True:
                    try:
                        act(conn)
                    except (errors.LockNotAvailable, errors.DeadlockDetected):
                        continue
                    return
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def joined(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """`ROUNDS` workflows of two steps and one that waits for both; the ids of the jobs by name."""
    flow = Flow("join")
    for number in range(ROUNDS):
        flow.add(f"left{number}", steps.noop).add(f"right{number}", steps.noop)
        flow.add(f"last{number}", steps.noop, deps=[f"left{number}", f"right{number}"])
    flow.insert(conn)
    return dict(conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes").fetchall())


def start(conn: psycopg.Connection[Any], state: str) -> None:
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1 WHERE state = %s", [state])


def count(conn: psycopg.Connection[Any], name: str, state: str) -> int:
    query = "SELECT count(*) FROM oban_jobs WHERE state::text = %s AND meta ->> 'workflow_name' LIKE %s"
    row = conn.execute(query, [state, f"{name}%"]).fetchone()
    assert row is not None
    return int(row[0])


def settle_all(ids: dict[str, int], name: str) -> Act:
    def act(conn: psycopg.Connection[Any]) -> None:
        for number in range(ROUNDS):
            conn.execute(SETTLE, [ids[f"{name}{number}"]])

    return act


def test_the_last_two_upstreams_settle_at_the_same_moment(dsn: str, conn: psycopg.Connection[Any]) -> None:
    ids = joined(conn)
    start(conn, "available")
    at_once(dsn, settle_all(ids, "left"), settle_all(ids, "right"))
    assert count(conn, "last", "available") == ROUNDS


GO_BACK = {
    "gate": "SELECT FROM baton_park(ARRAY[%s::int8], ARRAY[1::int2])",
    "failure": "UPDATE oban_jobs SET state = 'available' WHERE id = %s",
}


@pytest.mark.parametrize("how", GO_BACK)
@pytest.mark.parametrize("is_settle_first", [True, False], ids=["settle first", "settle last"])
def test_a_job_goes_back_to_waiting_while_its_last_upstream_settles(
    dsn: str, conn: psycopg.Connection[Any], how: str, is_settle_first: bool
) -> None:
    """The second transaction begins before the first one ends, and sees what it did all the same."""
    Flow("pair").add("first", steps.noop).add("last", steps.noop, deps=["first"]).insert(conn)
    conn.execute("SET baton.settling = 'on'")  # started by hand, past the trigger
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1")
    ids = dict(conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes").fetchall())
    acts = [(SETTLE, ids["first"]), (GO_BACK[how], ids["last"])]
    (early, early_id), (late, late_id) = acts if is_settle_first else acts[::-1]
    with psycopg.connect(dsn) as one, psycopg.connect(dsn, autocommit=True) as other:
        one.execute(early, [early_id])
        thread = threading.Thread(target=other.execute, args=[late, [late_id]])
        thread.start()
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        while thread.is_alive() and conn.execute(waits, [other.info.backend_pid]).fetchone() != (True,):
            pass
        one.commit()
        thread.join()
    assert count(conn, "last", "available") == 1


def test_a_workflow_is_paused_and_resumed_while_its_steps_settle(dsn: str, conn: psycopg.Connection[Any]) -> None:
    ids = joined(conn)
    start(conn, "available")
    (workflow_id,) = conn.execute("SELECT workflow_id FROM baton_workflows").fetchone() or ("",)

    def pause(other: psycopg.Connection[Any]) -> None:
        for _ in range(10):
            other.execute("SELECT baton_pause(ARRAY[%s])", [workflow_id])
            other.execute("SELECT baton_resume(ARRAY[%s])", [workflow_id])

    at_once(dsn, settle_all(ids, "left"), settle_all(ids, "right"), pause)
    assert count(conn, "last", "available") == ROUNDS


def test_an_upstream_is_cancelled_while_its_downstream_is_retried(dsn: str, conn: psycopg.Connection[Any]) -> None:
    ids = joined(conn)
    conn.execute("SELECT id FROM oban_jobs").fetchall()
    lasts = [ids[f"last{number}"] for number in range(ROUNDS)]
    conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE id = ANY(%s)", [lasts])

    def change(name: str, state: str) -> Act:
        def act(other: psycopg.Connection[Any]) -> None:
            for number in range(ROUNDS):
                while True:
                    try:
                        other.execute("UPDATE oban_jobs SET state = %s WHERE id = %s", [state, ids[f"{name}{number}"]])
                    except (errors.LockNotAvailable, errors.DeadlockDetected):
                        continue
                    break

        return act

    at_once(dsn, change("left", "cancelled"), change("last", "available"))
    waiting = conn.execute(
        "SELECT count(*) FROM workflow_nodes AS node JOIN workflow_nodes AS upstream "
        "ON upstream.oban_job_id = ANY(node.upstreams) "
        "WHERE node.outcome IS NULL AND upstream.outcome IN ('cancelled', 'discarded')"
    ).fetchone()
    assert waiting == (0,)


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_an_operator_whom_the_database_takes_for_the_victim_of_a_deadlock_is_not_bothered(
    dsn: str, conn: psycopg.Connection[Any], is_async: bool
) -> None:
    Flow("pair").add("first", steps.noop).add("last", steps.noop, deps=["first"]).insert(conn)
    (workflow_id,) = conn.execute("SELECT workflow_id FROM baton_workflows").fetchone() or ("",)
    workflow = Workflow.load(workflow_id, dsn=dsn)
    lock = "SELECT FROM workflow_nodes WHERE step_name = %s FOR UPDATE"
    with psycopg.connect(dsn) as other:
        other.execute("SET deadlock_timeout = '1 min'")  # so that it is never this one
        other.execute(lock, ["last"])
        paused = asyncio.create_task(workflow.pause() if is_async else asyncio.to_thread(workflow.sync.pause))
        waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE %s AND wait_event_type = 'Lock')"
        await until(lambda: conn.execute(waits, ["%baton_pause%"]).fetchone() == (True,))
        await asyncio.to_thread(other.execute, lock, ["first"])
        other.rollback()
        assert await paused is True
