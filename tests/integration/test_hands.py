"""Whoever changes a job's state (Oban's API or SQL), its node follows in the same transaction."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.conftest import StartOban, until
from tests.integration.modules import steps

TIMEOUT = 60


def chain() -> Flow:
    """first -> second -> third."""
    flow = Flow("chain").add("first", steps.noop)
    return flow.add("second", steps.noop, deps=["first"]).add("third", steps.noop, deps=["second"])


def nodes(conn: psycopg.Connection[Any]) -> dict[str, tuple[str, str | None, int]]:
    """The job's state, the outcome and the count of each node."""
    rows = conn.execute(
        "SELECT step_name, coalesce(state::text, 'deleted'), outcome, pending "
        "FROM workflow_nodes LEFT JOIN oban_jobs ON id = oban_job_id ORDER BY oban_job_id"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def job_id(conn: psycopg.Connection[Any], step: str) -> int:
    row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = %s", [step]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("how", ["api", "sql"])
async def test_cancelling_a_job_cancels_all_that_waits_for_it(
    start_oban: StartOban, conn: psycopg.Connection[Any], how: str
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await chain().insert()
        if how == "api":
            await oban.cancel_job(job_id(conn, "second"))
        else:
            conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE id = %s", [job_id(conn, "second")])
        assert nodes(conn) == {
            "first": ("available", None, 0),
            "second": ("cancelled", "cancelled", 1),
            "third": ("cancelled", "cancelled", 1),
        }
        assert (await workflow.status()).outcome is None


async def test_a_change_that_is_rolled_back_leaves_the_node_alone(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        await chain().insert()
    before = nodes(conn)
    with conn.transaction(force_rollback=True):
        conn.execute("UPDATE oban_jobs SET state = 'discarded' WHERE id = %s", [job_id(conn, "first")])
        assert nodes(conn)["third"] == ("cancelled", "cancelled", 1)
    assert nodes(conn) == before


async def test_deleting_a_job_cancels_its_node_and_pruning_settled_ones_changes_nothing(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await chain().insert()
        await oban.delete_job(job_id(conn, "first"))
        assert nodes(conn)["first"] == ("deleted", "cancelled", 0)
        assert (await workflow.status()).outcome == "cancelled"
        conn.execute("DELETE FROM oban_jobs")
        assert (await workflow.status()).counts == {"cancelled": 3}


async def test_results_outlive_the_jobs_that_oban_prunes(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban():
        workflow = await Flow("short", steps.number.bind(value=4)).insert()
        await workflow.wait(TIMEOUT)
        conn.execute("DELETE FROM oban_jobs")
        assert await workflow.result(steps.number) == 4
        assert (await workflow.nodes())[0].queue is None


async def test_retrying_a_discarded_job_arms_its_node_again(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("revived").add("first", steps.fails_once_more)
    flow.add("tolerant", steps.noop, deps=["first"], ignore_discarded=True)
    async with start_oban() as oban:
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        await oban.retry_job(job_id(conn, "first"))
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result("first") == "at last"


async def test_retrying_a_completed_job_runs_nothing_twice(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    steps.CALLS.clear()
    async with start_oban() as oban:
        workflow = await Flow("once", steps.counts_its_calls).insert()
        await workflow.wait(TIMEOUT)
        await oban.retry_job(job_id(conn, "counts_its_calls"))
        await until(lambda: nodes(conn)["counts_its_calls"][0] == "completed")
        assert await workflow.result(steps.counts_its_calls) == 1
    assert len(steps.CALLS) == 1


async def test_a_job_retried_by_hand_before_its_upstreams_goes_on_waiting(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        await chain().insert()
        await oban.retry_job(job_id(conn, "second"))
        assert nodes(conn)["second"] == ("suspended", None, 1)


async def test_a_job_that_starts_all_the_same_is_put_back_by_the_gate(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("early").add("first", steps.waits_for_a_sign).add("second", steps.counts_its_calls, deps=["first"])
    steps.CALLS.clear()
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow.insert()
        await steps.SIGNS.waiting()
        conn.execute("SET baton_dsl.settling = 'on'")  # no trigger of ours
        conn.execute("UPDATE oban_jobs SET state = 'available' WHERE id = %s", [job_id(conn, "second")])
        conn.execute("RESET baton_dsl.settling")
        parked = "SELECT 1 FROM oban_jobs WHERE state = 'suspended' AND attempt = 0 AND attempted_at IS NOT NULL"
        await until(lambda: conn.execute(parked).fetchone() is not None)
        assert steps.CALLS == []
        steps.SIGNS.give()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert len(steps.CALLS) == 1


def test_a_plain_job_costs_no_call_of_the_trigger(conn: psycopg.Connection[Any]) -> None:
    conn.execute("SET track_functions = 'all'")
    conn.execute("INSERT INTO oban_jobs (worker) SELECT 'plain' FROM generate_series(1, 10)")
    conn.execute("UPDATE oban_jobs SET state = 'completed'")
    conn.execute("SELECT pg_stat_force_next_flush()")
    called = conn.execute("SELECT count(*) FROM pg_stat_user_functions WHERE funcname = 'baton_job_changed'").fetchone()
    assert called == (0,)


async def test_a_retry_that_is_undone_cancels_what_had_ignored_the_first_end(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """The second node was discarded, which the third ignores; then it is cancelled, which the third does not ignore."""
    flow = Flow("ignoring").add("first", steps.noop).add("second", steps.noop, deps=["first"])
    flow.add("third", steps.noop, deps=["second"], ignore_discarded=True)
    async with start_oban(queues={}) as oban:
        workflow = await flow.insert()
        conn.execute("UPDATE oban_jobs SET state = 'discarded' WHERE meta ->> 'workflow_name' <> 'third'")
        assert nodes(conn)["third"] == ("available", None, 0)
        await oban.retry_job(job_id(conn, "second"))
        status = await workflow.wait(TIMEOUT)
        assert (status.outcome, status.counts) == ("discarded", {"discarded": 1, "cancelled": 2})
        assert status.settled_at is not None
