"""Two actions on one workflow at the same moment: nothing is lost, and nothing waits forever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from oban import Oban
from psycopg import errors

from baton_dsl import Flow, Workflow
from baton_dsl.errors import RetryError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.operating.actions import prune, prune_sync
from tests.conftest import StartOban, until
from tests.integration.modules import budget_steps, steps
from tests.integration.modules.mapped import numbers, squares, total

ROUNDS = 100

SETTLE = "SELECT FROM baton_settle(ARRAY[%s::int8], ARRAY[1::int2], ARRAY['7'], NULL, '[]', false)"
WAITING = "wait_event_type = 'Lock' AND datname = current_database()"
type Act = Callable[[psycopg.Connection[Any]], object]


def at_once(dsn: str, *acts: Act) -> None:
    """Run each on a separate connection at the same moment; repeat after serialization failures and deadlocks."""
    barrier = threading.Barrier(len(acts))
    failures: list[BaseException] = []

    def run(act: Act) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as conn:
                barrier.wait(60)
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


def one_while_another_is_open(
    dsn: str, conn: psycopg.Connection[Any], early: tuple[str, object], late: tuple[str, object]
) -> None:
    """Run a statement, and another one that has to wait until the first one's transaction ends."""
    with psycopg.connect(dsn) as one, psycopg.connect(dsn, autocommit=True) as other:
        one.execute(early[0], [early[1]])
        thread = threading.Thread(target=other.execute, args=[late[0], [late[1]]])
        thread.start()
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        while thread.is_alive() and conn.execute(waits, [other.info.backend_pid]).fetchone() != (True,):
            pass
        one.commit()
        thread.join()


GO_BACK = {
    "gate": "SELECT FROM baton_park(ARRAY[%s::int8], ARRAY[1::int2])",
    "failure": "UPDATE oban_jobs SET state = 'available' WHERE id = %s",
}


@pytest.mark.parametrize("how", GO_BACK)
@pytest.mark.parametrize("is_settle_first", [True, False], ids=["settle first", "settle last"])
def test_a_job_goes_back_to_waiting_while_its_last_upstream_settles(
    dsn: str, conn: psycopg.Connection[Any], how: str, is_settle_first: bool
) -> None:
    """The second transaction begins before the first one ends, but sees its changes."""
    Flow("pair").add("first", steps.noop).add("last", steps.noop, deps=["first"]).insert(conn)
    conn.execute("SET baton_dsl.settling = 'on'")  # started by hand, past the trigger
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1")
    ids = dict(conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes").fetchall())
    acts = [(SETTLE, ids["first"]), (GO_BACK[how], ids["last"])]
    early, late = acts if is_settle_first else acts[::-1]
    one_while_another_is_open(dsn, conn, early, late)
    assert count(conn, "last", "available") == 1


@pytest.mark.parametrize("is_park_first", [True, False], ids=["park first", "park last"])
def test_a_job_starts_to_wait_for_its_budget_while_more_is_approved(
    dsn: str, conn: psycopg.Connection[Any], is_park_first: bool
) -> None:
    """It checks again, whichever transaction ends first; otherwise no transaction would promote the step."""
    workflow = Flow("asking", budget_steps.asks).options(budget=1).insert(conn)
    conn.execute("SET baton_dsl.settling = 'on'")  # started by hand, past the trigger
    row = conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1 RETURNING id").fetchone()
    assert row is not None
    asked = conn.execute("SELECT baton_reserve(ARRAY[%s::int8], ARRAY[1::int2], ARRAY[2.5])", row)
    assert asked.fetchone() == ([],)
    acts: list[tuple[str, object]] = [
        (GO_BACK["gate"], row[0]),
        ("SELECT FROM baton_approve(%s, 10)", workflow.id),
    ]
    one_while_another_is_open(dsn, conn, *(acts if is_park_first else acts[::-1]))
    assert conn.execute("SELECT state::text, attempt FROM oban_jobs").fetchone() == ("available", 0)


def running(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """A workflow with a running step and one that waits for it; returns the ids of the jobs by name."""
    Flow("pair").add("first", steps.noop).add("last", steps.noop, deps=["first"]).insert(conn)
    start(conn, "available")
    return dict(conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes").fetchall())


def nodes(conn: psycopg.Connection[Any]) -> dict[str, tuple[str | None, str]]:
    query = "SELECT step_name, outcome, state::text FROM workflow_nodes JOIN oban_jobs ON id = oban_job_id"
    return {name: (outcome, state) for name, outcome, state in conn.execute(query).fetchall()}


RETRY = "SELECT baton_retry(ARRAY(SELECT workflow_id FROM baton_workflows WHERE workflow_id <> %s::text))"
COMPLETES = {
    "settle": SETTLE,
    "ack": "UPDATE oban_jobs SET state = 'completed' WHERE id = %s",
}


@pytest.mark.parametrize("how", COMPLETES)
def test_a_running_step_completes_while_it_is_retried_after_a_cancellation(
    dsn: str, conn: psycopg.Connection[Any], how: str
) -> None:
    """Until the retry is committed, its node still looks cancelled."""
    ids = running(conn)
    conn.execute("SELECT baton_end(ARRAY[%s::int8], 'cancelled')", [ids["first"]])
    one_while_another_is_open(dsn, conn, (RETRY, ""), (COMPLETES[how], ids["first"]))
    assert nodes(conn) == {"first": ("completed", "completed"), "last": (None, "available")}


def test_a_result_that_comes_after_a_cancellation_is_dropped_and_a_retry_runs_the_step_again(
    conn: psycopg.Connection[Any],
) -> None:
    """If its job ran on for a moment, the retry would believe that its result is still to come."""
    ids = running(conn)
    conn.execute("SELECT baton_end(ARRAY[%s::int8], 'cancelled')", [ids["first"]])
    conn.execute(SETTLE, [ids["first"]])
    assert nodes(conn)["first"] == ("cancelled", "cancelled")
    conn.execute(RETRY, [""])
    conn.execute(COMPLETES["ack"] + " AND state = 'executing'", [ids["first"]])  # Oban's, a moment later
    assert nodes(conn) == {"first": (None, "available"), "last": (None, "suspended")}


def test_a_gate_that_saw_a_cancelled_step_lets_it_run_if_it_was_retried_since(conn: psycopg.Connection[Any]) -> None:
    ids = running(conn)
    conn.execute("SELECT baton_end(ARRAY[%s::int8], 'cancelled')", [ids["first"]])
    conn.execute(RETRY, [""])
    conn.execute(GO_BACK["gate"], [ids["first"]])
    assert nodes(conn) == {"first": (None, "available"), "last": (None, "suspended")}


def test_a_step_that_fails_while_its_workflow_is_cancelled_is_not_tried_again(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    ids = running(conn)
    stop = RETRY.replace("baton_retry", "baton_stop")
    one_while_another_is_open(
        dsn, conn, (stop, ""), ("UPDATE oban_jobs SET state = 'retryable' WHERE id = %s", ids["first"])
    )
    assert nodes(conn) == dict.fromkeys(["first", "last"], ("cancelled", "cancelled"))


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
        waits = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE %s AND {WAITING})"
        await until(lambda: conn.execute(waits, ["%baton_pause%"]).fetchone() == (True,))
        await asyncio.to_thread(other.execute, lock, ["first"])
        other.rollback()
        assert await paused is True


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_a_prune_that_the_database_takes_for_the_victim_of_a_deadlock_goes_on(
    dsn: str, conn: psycopg.Connection[Any], is_async: bool
) -> None:
    """For example, if somebody retries the workflow that it removes."""
    Flow("old").add("only", steps.noop).insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'cancelled'")
    conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '1 hour'")
    database = Database.configured(dsn=dsn)
    with psycopg.connect(dsn) as other:
        other.execute("SET deadlock_timeout = '1 min'")  # so that it is never this one
        other.execute("SELECT FROM workflow_nodes FOR UPDATE")
        age = timedelta(minutes=1)
        pruned = asyncio.create_task(prune(database, age) if is_async else asyncio.to_thread(prune_sync, database, age))
        waits = f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE %s AND {WAITING})"
        await until(lambda: conn.execute(waits, ["%baton_prune%"]).fetchone() == (True,))
        await asyncio.to_thread(other.execute, "SELECT FROM baton_workflows FOR UPDATE")
        other.rollback()
        assert await pruned == 1


async def meddle(oban: Oban, workflow: Workflow[Any], conn: psycopg.Connection[Any], chance: Random) -> None:
    """Run every operator command on a workflow, one after another."""
    query = "SELECT id FROM oban_jobs WHERE meta ->> 'workflow_id' = %s"
    for _ in range(8):
        act = chance.choice([workflow.pause, workflow.resume, workflow.cancel, workflow.retry, "from", "jobs", "jobs"])
        with suppress(RetryError, errors.DeadlockDetected):  # a step runs still; Oban itself does not try again
            if act == "from":
                await workflow.retry(chance.choice(["numbers", "squares", "first", "plain"]))
            elif act == "jobs":
                ids = [job_id for (job_id,) in conn.execute(query, [workflow.id])]
                change = chance.choice([oban.cancel_many_jobs, oban.retry_many_jobs])
                await change(chance.sample(ids, min(len(ids), 3)))
            else:
                await act()


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_operators_do_while_steps_run_workflows_end_and_a_retry_completes_them(
    start_oban: StartOban, conn: psycopg.Connection[Any], seed: int
) -> None:
    chance = Random(seed)

    async def live(oban: Oban) -> None:
        flow = Flow("meddled", numbers, squares, total).add("first", steps.noop).add("left", steps.noop, deps=["first"])
        flow.add("plain", steps.ExportWorker.new({}), deps=["first"])
        flow.add("last", steps.noop, deps=["left", "plain", "total"], ignore_cancelled=chance.random() < 0.5)
        workflow = await flow.insert(count=4)
        await asyncio.gather(*(meddle(oban, workflow, conn, chance) for _ in range(2)))
        await workflow.resume()
        await workflow.wait(60)
        while await workflow.retry():
            await workflow.wait(60)
        assert (await workflow.status()).outcome == "completed", [*await workflow.nodes()]
        assert await workflow.result(total) == 14

    async with start_oban(queues={"default": 4}) as oban:
        await asyncio.gather(*(live(oban) for _ in range(8)))


async def test_a_workflow_that_is_cancelled_and_retried_as_its_steps_start_completes(start_oban: StartOban) -> None:
    async with start_oban():
        for _ in range(40):
            workflow = await Flow("hasty", numbers, squares, total).add("first", steps.noop).insert(count=3)
            await workflow.cancel()
            await workflow.retry()
            status = await workflow.wait(60)
            assert status.outcome == "completed", [*await workflow.nodes()]
            assert await workflow.result(total) == 5
