"""Cancel, retry, pause, resume and prune, for one workflow and for many."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from oban import Job

from baton_dsl import Flow, Workflow, step
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.oban.fetches import FETCHES
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate, operate_sync, prune, prune_sync
from tests.conftest import StartOban
from tests.integration.modules import steps
from tests.integration.modules.long_steps import hangs, waits_for_cancellation
from tests.integration.modules.mapped import numbers, squares

TIMEOUT = 60


@step
def never() -> None:
    """A step that must not run."""
    pytest.fail("it ran")


async def states_become(workflow: Workflow[Any], expected: dict[str, str]) -> None:
    """Poll until the nodes are in these states."""
    states: dict[str, str] = {}
    async with asyncio.timeout(TIMEOUT):
        while states != expected:
            states = {node.step: node.state for node in await workflow.nodes()}


def mend(conn: psycopg.Connection[Any], step: str) -> None:
    """Make a step do nothing from now on."""
    worker = "baton_dsl.steps.tests/integration/modules/steps:nothing"
    conn.execute("UPDATE workflow_nodes SET worker = %s WHERE step_name = %s", [worker, step])
    conn.execute("UPDATE oban_jobs SET worker = %s WHERE meta ->> 'workflow_name' = %s", [worker, step])


async def test_cancelling_ends_all_that_has_not_started_and_what_runs_is_told_and_not_tried_again(
    start_oban: StartOban,
) -> None:
    flow = Flow("long", waits_for_cancellation).add("next", steps.noop, deps=["waits_for_cancellation"])
    flow.add("tolerant", steps.noop, deps=["next"], ignore_cancelled=True)
    async with start_oban():
        workflow = await flow.insert()
        suspended = {"next": "suspended", "tolerant": "suspended"}
        await states_become(workflow, {"waits_for_cancellation": "executing", **suspended})
        assert await workflow.cancel() is True
        async with asyncio.timeout(TIMEOUT):
            while await workflow.cancel():  # Oban may not listen yet; another call tells the running step again
                await asyncio.sleep(0.05)
        status = await workflow.wait(TIMEOUT)
        assert status.outcome == "cancelled"
        assert status.counts == {"cancelled": 3}
        assert await workflow.cancel() is False
        first = next(node for node in await workflow.nodes() if node.step == "waits_for_cancellation")
        assert (first.attempt, first.state) == (1, "cancelled")
        assert "since its workflow was" in (first.error or "")


async def test_what_runs_while_its_workflow_is_cancelled_is_not_tried_again_whoever_returns_it(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await Flow("running", steps.noop).insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid="u")
        assert await workflow.cancel() is True
        conn.execute("UPDATE oban_jobs SET state = 'retryable'")
        assert (await workflow.status()).counts == {"cancelled": 1}
        assert (await workflow.status()).outcome == "cancelled"


async def test_a_step_that_was_fetched_as_its_workflow_was_cancelled_does_not_start(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be asked to stop: its producer does not know it yet."""
    FETCHES.install()
    fetch = FETCHES._next
    assert fetch is not None

    async def fetch_and_cancel(producer: Any) -> list[Job]:
        jobs = await fetch(producer)
        if jobs:
            await workflow.cancel()
        return jobs

    monkeypatch.setattr(FETCHES, "_next", fetch_and_cancel)
    async with start_oban(queues={}) as oban:
        workflow = await Flow("unlucky", never).insert()
        await oban.start_queue(queue="default", limit=1)
        assert (await workflow.wait(TIMEOUT)).outcome == "cancelled"
        (node,) = await workflow.nodes()
        assert (node.state, node.attempt) == ("cancelled", 1)
        assert "cancelled before it started, since its workflow was" in (node.error or "")


async def test_retrying_runs_what_failed_and_what_that_cancelled_and_nothing_else(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("again").add("first", steps.number.bind(value=7)).add("second", steps.fails, deps=["first"])
    flow.add("third", steps.circumstances, deps=["first", "second"]).add("fourth", steps.noop, deps=["third"])
    async with start_oban():
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).counts == {"completed": 1, "discarded": 1, "cancelled": 2}
        mend(conn, "second")
        assert await workflow.retry() is True
        assert (await workflow.wait(TIMEOUT)).counts == {"completed": 4}
        assert (await workflow.result("third"))["upstream"] == {"first": 7, "second": None}
        assert {node.step: node.attempt for node in await workflow.nodes()} == {
            "first": 1,
            "second": 2,
            "third": 1,
            "fourth": 1,
        }
        assert await workflow.retry() is False


async def test_a_retry_gives_as_many_attempts_as_it_is_asked_for(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """Only steps that were attempted before get attempts; a step that never ran keeps its own number."""
    flow = Flow("again").add("first", steps.number.bind(value=7)).add("second", steps.fails, deps=["first"])
    flow.add("third", steps.noop, deps=["second"])
    most = "SELECT array_agg(ARRAY[attempt, max_attempts] ORDER BY id) FROM oban_jobs"
    async with start_oban():
        workflow = await flow.insert()
        await workflow.wait(TIMEOUT)
    (before,) = conn.execute(most).fetchone() or ()
    for wrong in (0, -1, 32_768, True):
        with pytest.raises(ValueError, match="whole number from 1 to 32767, got"):
            await workflow.retry(attempts=wrong)
    assert await workflow.retry(attempts=3) is True
    (after,) = conn.execute(most).fetchone() or ()
    assert (after[0], after[1], after[2]) == (before[0], [1, 4], before[2])
    assert workflow.sync.retry(attempts=3) is False
    assert workflow.sync.retry("second", attempts=2) is True
    assert (conn.execute(most).fetchone() or ())[0][1] == [1, 3]
    assert workflow.sync.retry("first", attempts=32_767) is True
    assert (conn.execute(most).fetchone() or ())[0] == [[1, 32_767], [1, 32_767], before[2]]


async def test_retrying_the_failed_job_alone_by_obans_api_does_the_same(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("again").add("first", steps.fails).add("second", steps.noop, deps=["first"])
    async with start_oban() as oban:
        workflow = await flow.insert()
        await workflow.wait(TIMEOUT)
        mend(conn, "first")
        await oban.retry_job(1)
        assert (await workflow.wait(TIMEOUT)).counts == {"completed": 2}


async def test_while_a_workflow_is_paused_nothing_of_it_starts(start_oban: StartOban) -> None:
    flow = Flow("paused").add("first", steps.noop).add("export", steps.ExportWorker.new({}))
    flow.add("second", steps.noop, deps=["first", "export"])
    async with start_oban() as oban:
        await oban.pause_queue("default")
        workflow = await flow.insert()
        assert await workflow.pause() is True
        assert await workflow.pause() is False
        await oban.resume_queue("default")
        bystander = await Flow("other", steps.noop).insert()
        assert (await bystander.wait(TIMEOUT)).outcome == "completed"
        assert (await workflow.status()).counts == {"suspended": 3}
        assert await workflow.resume() is True
        assert await workflow.resume() is False
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"


async def test_the_blocking_methods_do_the_same(start_oban: StartOban, dsn: str) -> None:
    async with start_oban(queues={}):
        inserted = await Flow("sync", steps.noop).insert()
    workflow = Workflow.load(inserted.id, dsn=dsn).sync
    assert [workflow.pause(), workflow.pause(), workflow.resume(), workflow.resume()] == [True, False, True, False]
    assert [workflow.retry(), workflow.cancel(), workflow.cancel(), workflow.retry()] == [False, True, False, True]
    assert workflow.status().counts == {"available": 1}


@pytest.mark.parametrize("count", [0, 3])
async def test_a_map_that_was_cancelled_before_it_was_made_is_retried_with_its_workflow(
    start_oban: StartOban, count: int
) -> None:
    async with start_oban(queues={}):
        workflow = await Flow("early", numbers, squares).insert(count=count)
        await workflow.cancel()
        assert (await workflow.status()).outcome == "cancelled"
        assert await workflow.retry()
    async with start_oban():
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result("squares") == [number * number for number in range(count)]


async def test_many_workflows_are_operated_on_by_what_they_have_in_common(start_oban: StartOban, dsn: str) -> None:
    database = Database.configured(dsn=dsn)
    async with start_oban(queues={}):
        ids = {
            name: (await Flow(flow, steps.noop).options(workflow_name=label).insert()).id
            for name, flow, label in [("a", "one", "x"), ("b", "one", "y"), ("c", "two", "y")]
        }
    assert await operate(database, Action.CANCEL, WorkflowFilter(flow="one", label="y")) == [ids["b"]]
    assert await operate(database, Action.CANCEL, WorkflowFilter(flow="one")) == [ids["a"]]
    assert operate_sync(database, Action.RETRY, WorkflowFilter(outcome="cancelled")) == sorted([ids["a"], ids["b"]])
    assert operate_sync(database, Action.PAUSE, WorkflowFilter(is_running=True, older_than=timedelta(hours=1))) == []
    assert operate_sync(database, Action.PAUSE, WorkflowFilter(ids=[ids["c"], "nowhere"])) == [ids["c"]]
    with pytest.raises(ValueError, match="at least one condition"):
        WorkflowFilter()


async def test_pruning_removes_what_settled_long_ago_and_never_what_still_runs(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    database = Database.configured(dsn=dsn)
    async with start_oban(shutdown_grace_period=0.1):
        running = await Flow("long", hangs).insert()
        for _ in range(3):
            await (await Flow("short", steps.noop).insert()).wait(TIMEOUT)
        conn.execute("UPDATE baton_workflows SET inserted_at = now() - interval '9 days'")
        conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '8 days' WHERE outcome IS NOT NULL")
        assert await prune(database, timedelta(days=10)) == 0
        assert await prune(database, timedelta(days=7)) == 3
        assert prune_sync(database, timedelta(0)) == 0
    assert conn.execute("SELECT workflow_id FROM workflow_nodes").fetchall() == [(running.id,)]
    assert conn.execute("SELECT workflow_id FROM baton_workflows").fetchall() == [(running.id,)]
