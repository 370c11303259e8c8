"""A workflow is retried from a step: it and everything downstream runs again, the rest stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.errors import RetryError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime import workflow as runtime_workflow
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, Retried, operate, operate_sync
from tests.conftest import StartOban
from tests.integration.modules import mapped, steps
from tests.integration.test_operating import TIMEOUT, mend

FROM_SECOND = {"first": 1, "beside": 1, "second": 2, "third": 2}


def diamond() -> Flow[..., Any]:
    """first -> second -> third, first -> beside."""
    flow = Flow("diamond").add("first", steps.number.bind(value=1))
    flow.add("beside", steps.number.bind(value=2), deps=["first"])
    flow.add("second", steps.number.bind(value=3), deps=["first"])
    return flow.add("third", steps.circumstances, deps=["second", "beside"])


def attempts(workflow: Workflow[Any]) -> dict[str, int]:
    return {node.step: node.attempt for node in workflow.sync.nodes()}


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_completed_workflow_runs_again_from_a_step_on(start_oban: StartOban, is_paused: bool) -> None:
    async with start_oban():
        workflow = await diamond().insert()
        await workflow.wait(TIMEOUT)
        assert attempts(workflow) == dict.fromkeys(FROM_SECOND, 1)
        assert await workflow.retry("second") is True
        if is_paused:
            await workflow.pause()
            await workflow.resume()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert attempts(workflow) == FROM_SECOND
        assert (await workflow.result("third"))["upstream"] == {"second": 3, "beside": 2}


async def test_the_results_are_forgotten_at_once_and_only_those(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await diamond().insert()
        await workflow.wait(TIMEOUT)
    assert workflow.sync.retry(steps.number.named("second")) is True
    stored = "SELECT step_name, result IS NOT NULL FROM workflow_nodes"
    expected = {"first": True, "beside": True, "second": False, "third": False}
    assert dict(conn.execute(stored).fetchall()) == expected
    assert workflow.sync.status().counts == {"completed": 2, "available": 1, "suspended": 1}
    assert workflow.sync.status().settled_at is None


async def test_a_step_that_would_be_tried_later_is_tried_now(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await diamond().insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid="u")
        conn.execute("UPDATE oban_jobs SET state = 'retryable', scheduled_at = now() + '1 d' WHERE attempt = 1")
        assert await workflow.retry("first") is True
        assert (await workflow.status()).counts == {"available": 1, "suspended": 3}


async def test_what_keeps_a_step_from_running_elsewhere_keeps_it_still(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("broken").add("left", steps.noop).add("right", steps.fails)
    flow.add("both", steps.noop, deps=["left", "right"])
    async with start_oban():
        workflow = await flow.insert()
        await workflow.wait(TIMEOUT)
        assert await workflow.retry("left") is True
        assert (await workflow.wait(TIMEOUT)).counts == {"completed": 1, "discarded": 1, "cancelled": 1}
        assert attempts(workflow) == {"left": 2, "right": 1, "both": 0}
        mend(conn, "right")
        assert await workflow.retry("right") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert attempts(workflow) == {"left": 2, "right": 2, "both": 1}


async def test_a_step_does_not_run_again_while_it_or_one_behind_it_runs(start_oban: StartOban) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await diamond().insert()
        before = await workflow.nodes()
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid="u")
        with pytest.raises(RetryError, match='from step "first" while "first" runs; wait until it ends') as raised:
            await workflow.retry("first")
        assert raised.value.code == "BTN415"
        with pytest.raises(RetryError):
            workflow.sync.retry("first")
        assert await workflow.retry("second") is True, "its upstream runs, it does not"
        assert [node.deps for node in await workflow.nodes()] == [node.deps for node in before]
        assert (await workflow.status()).counts == {"executing": 1, "suspended": 3}


async def test_a_step_whose_job_is_gone_does_not_run_again(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await diamond().insert()
        await workflow.wait(TIMEOUT)
        conn.execute("DELETE FROM oban_jobs WHERE meta ->> 'workflow_name' = 'third'")
        with pytest.raises(RetryError, match='the jobs of "third" are gone; insert it anew'):
            await workflow.retry("first")
        assert (await workflow.status()).outcome == "completed"


async def test_a_step_that_is_not_there_is_told_with_the_nearest(start_oban: StartOban, dsn: str) -> None:
    async with start_oban(queues={}):
        workflow = await diamond().insert()
        with pytest.raises(StepNotInWorkflowError, match='has no step "secnd"; did you mean "second"'):
            await workflow.retry("secnd")
        with pytest.raises(WorkflowNotFoundError):
            Workflow.load("nowhere", dsn=dsn).sync.retry("first")


async def test_many_workflows_are_retried_from_a_step_and_those_that_can_not_are_left_alone(
    start_oban: StartOban, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    database = Database.configured(dsn=dsn)
    async with start_oban():
        done = [await diamond().insert() for _ in range(3)]
        other = await Flow("other", steps.noop).insert()
        for workflow in [*done, other]:
            await workflow.wait(TIMEOUT)
    running = done[0].id
    conn.execute(
        "UPDATE oban_jobs SET state = 'executing' WHERE meta @> jsonb_build_object('workflow_id', %s::text)", [running]
    )
    can = sorted(workflow.id for workflow in done[1:])
    every = WorkflowFilter(newer_than=timedelta(hours=1))
    assert await operate(database, Action.RETRY, every, from_step="second") == can
    assert operate_sync(database, Action.RETRY, every, from_step="second") == can
    assert operate_sync(database, Action.RETRY, every, from_step="nothing") == []
    with pytest.raises(ValueError, match="from_step is for"):
        operate_sync(database, Action.PAUSE, every, from_step="second")


async def test_a_map_is_expanded_anew(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await mapped.summing.insert(count=4)
        await workflow.wait(TIMEOUT)
        assert await workflow.retry("squares") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result("total") == 14
        assert await workflow.retry("numbers") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result("total") == 14


# --- items of maps ---------------------------------------------------------------------------------------------------


def ran(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """How often each node with a job was attempted."""
    return dict(
        conn.execute("SELECT step_name, attempt FROM workflow_nodes JOIN oban_jobs ON id = oban_job_id").fetchall()
    )


@pytest.mark.parametrize("is_sync", [False, True])
async def test_an_item_and_what_is_behind_it_run_again(
    start_oban: StartOban, conn: psycopg.Connection[Any], is_sync: bool
) -> None:
    async with start_oban():
        workflow = await mapped.summing.insert(count=3)
        await workflow.wait(TIMEOUT)
        once = {"numbers": 1, "squares[0]": 1, "squares[1]": 1, "squares[2]": 1, "total": 1}
        assert ran(conn) == once
        if is_sync:
            assert await asyncio.to_thread(workflow.sync.retry, "squares[1]") is True
        else:
            assert await workflow.retry("squares[1]") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert ran(conn) == {**once, "squares[1]": 2, "total": 2}
        assert await workflow.result("total") == 5


async def test_of_a_map_over_a_map_only_the_item_behind_it_runs_again(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await mapped.chained.insert(count=3)
        await workflow.wait(TIMEOUT)
        once = ran(conn)
        assert await workflow.retry("squares[2]") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert ran(conn) == {**once, "squares[2]": 2, "halves[2]": 2, "both": 2}
        assert await workflow.result("both") == [(0, 0.0), (1, 0.5), (4, 2.0)]


async def test_an_item_of_a_deep_map_and_a_whole_row_of_one_run_again(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await mapped.shelving.insert(sizes=[[1, 2], [3], []])
        await workflow.wait(TIMEOUT)
        once, report = ran(conn), await workflow.result("nested_report")
        assert await workflow.retry("doubled[0,1]") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert ran(conn) == {**once, "doubled[0,1]": 2, "rows[0]": 2, "nested_report": 2}
        assert await workflow.retry("doubled[1]") is True  # a list of one item, which is made anew
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert ran(conn) == {**once, "doubled[0,1]": 2, "rows[0]": 2, "rows[1]": 2, "nested_report": 3}
        assert await workflow.result("nested_report") == report


async def test_an_item_runs_again_while_others_of_its_map_run(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await mapped.greeting.insert(names=["a", "b", "c"], greeting="hello")
        await oban._query.fetch_jobs(demand=1, queue="default", node="n", uuid="u")
        with pytest.raises(RetryError, match='from step "greet\\[0\\]" while "greet\\[0\\]" runs'):
            await workflow.retry("greet[0]")
        conn.execute("UPDATE oban_jobs SET state = 'discarded' WHERE meta ->> 'workflow_name' = 'greet[1]'")
        assert await workflow.retry("greet[1]") is True
        assert {node.step: node.state for node in await workflow.items("greet")} == {
            "greet[0]": "executing",
            "greet[1]": "available",
            "greet[2]": "available",
        }


async def test_an_item_that_failed_runs_again_and_another_one_keeps_its_map_from_completing(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await mapped.failing.insert(count=4, bad=[1, 2])
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        conn.execute("UPDATE workflow_nodes SET mapping = jsonb_set(mapping, '{args,bad}', '[2]') WHERE is_map")
        assert await workflow.retry("fragile[1]") is True
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        states = {node.step: node.state for node in await workflow.nodes()}
        assert states["fragile"] == "discarded"
        assert states["strict"] == "cancelled"
        assert await workflow.result("lenient") == [0, 1, None, 3]


async def test_items_of_a_window_go_through_it_again(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    flow = Flow("window", mapped.numbers, mapped.one_at_a_time)
    async with start_oban():
        workflow = await flow.insert(count=3)
        await workflow.wait(TIMEOUT)
        for _ in range(2):
            assert await workflow.retry("one_at_a_time[1]") is True
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert ran(conn) == {"numbers": 1, "one_at_a_time[0]": 1, "one_at_a_time[1]": 3, "one_at_a_time[2]": 1}
        assert conn.execute("SELECT in_flight FROM workflow_nodes WHERE is_map").fetchone() == (0,)


async def test_an_item_without_a_job_and_one_that_is_not_there_are_told(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await mapped.summing.insert(count=3)
        await workflow.wait(TIMEOUT)
        conn.execute("DELETE FROM oban_jobs WHERE meta ->> 'workflow_name' = 'squares[1]'")
        with pytest.raises(RetryError, match='the jobs of "squares\\[1\\]" are gone'):
            await workflow.retry("squares[1]")
        with pytest.raises(StepNotInWorkflowError, match='has no step "squares\\[7\\]"'):
            await workflow.retry("squares[7]")


async def test_a_retry_that_the_database_never_does_ends_with_a_sentence(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_args: object, **_options: object) -> Retried:
        return Retried(ids=[], steps=0, fewest=0, most=0)

    monkeypatch.setattr(runtime_workflow.actions, "retry", nothing)
    monkeypatch.setattr(runtime_workflow, "pause_after", lambda _: 0.001)
    async with start_oban(queues={}):
        workflow = await diamond().insert()
        with pytest.raises(RetryError, match='could not be retried from step "first": its steps keep changing'):
            await workflow.retry("first")
