"""Workflows run end to end on real Oban: order, types, options, outcomes."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow, Workflow
from baton_dsl.errors import (
    ResultNotReadyError,
    StepNotInWorkflowError,
    WorkflowNotFoundError,
    WorkflowTimeoutError,
)
from tests.conftest import StartOban, until
from tests.integration.modules import steps

TIMEOUT = 60


async def test_a_flow_runs_in_dependency_order_and_keeps_typed_results(start_oban: StartOban) -> None:
    async with start_oban(queues={"default": 5, "auth": 5}):
        workflow = await steps.billing.insert(api_key="xyz")
        status = await workflow.wait(TIMEOUT)
        assert status.outcome == "completed"
        assert status.counts == {"completed": 4}
        assert status.settled_at is not None
        assert await workflow.result(steps.report) == "[('eu', 7), ('us', 7)] xyz/3"
        token = await workflow.result(steps.fetch_token)
        assert isinstance(token, steps.Token)
        assert await workflow.result("orders") == {"eu": 7, "us": 7}
        assert list(await workflow.results()) == ["fetch_token", "regions", "orders", "report"]
        nodes = {node.step: node for node in await workflow.nodes()}
        assert set(nodes["orders"].deps) == {"fetch_token", "regions"}
        assert nodes["fetch_token"].queue == "auth"
        assert nodes["fetch_token"].max_attempts == 5


async def test_every_type_arrives_as_it_left(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await steps.every_type.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(steps.arrived) == []
        assert {name: value for name, value in (await workflow.results()).items() if name != "arrived"} == steps.VALUES


async def test_every_step_has_a_worker_name_of_its_own_and_its_meta_holds_only_identifiers(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        workflow = await steps.billing.options(workflow_name="nightly", debug=True).insert(api_key="k")
        rows = conn.execute("SELECT worker, meta, args, state::text FROM oban_jobs ORDER BY id").fetchall()
    assert rows[0] == (
        "baton_dsl.steps.tests/integration/modules/steps:fetch_token",
        {
            "workflow_id": workflow.id,
            "workflow_name": "fetch_token",
            "workflow_label": "nightly",
            "workflow_debug": True,
        },
        {"api_key": "k"},
        "available",
    )
    assert [row[3] for row in rows[1:]] == ["suspended"] * 3


async def test_the_context_tells_the_circumstances(start_oban: StartOban) -> None:
    flow = Flow("told", workflow_name="label", debug=True, models={"look": "large", "*": "small"})
    flow.add("seven", steps.number.bind(value=7)).add("look", steps.circumstances, deps=["seven"])
    flow.add("other", steps.circumstances)
    async with start_oban():
        workflow = await flow.insert()
        await workflow.wait(TIMEOUT)
        assert await workflow.result("look") == {
            "workflow_id": workflow.id,
            "workflow_name": "label",
            "step": "look",
            "attempt": 1,
            "max_attempts": 20,
            "model": "large",
            "debug": True,
            "upstream": {"seven": 7},
            "idempotency_key": f"{workflow.id}:look",
            "cancelled": False,
            "job": "look",
        }
        assert (await workflow.result("other"))["model"] == "small"


async def test_the_model_of_a_step_is_in_its_job_args(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban(queues={}):
        await Flow("m", steps.noop, models={"noop": "tiny"}).insert()
    assert conn.execute("SELECT args FROM oban_jobs").fetchone() == ({"workflow_model": "tiny"},)


async def test_sync_steps_run_in_threads(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await Flow("threads", steps.in_a_thread).insert()
        await workflow.wait(TIMEOUT)
        assert await workflow.result(steps.in_a_thread) is True


async def test_an_exception_is_tried_again_under_the_same_idempotency_key(start_oban: StartOban) -> None:
    async with start_oban(stager={"interval": 0.02}):
        workflow = await Flow("again", steps.fails_twice).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(steps.fails_twice) == f"{workflow.id}:fails_twice"
        (node,) = await workflow.nodes()
        assert node.attempt == 3
        assert "attempt 2" in (node.error or "")


async def test_a_snooze_runs_the_step_again_without_using_an_attempt(start_oban: StartOban) -> None:
    async with start_oban(stager={"interval": 0.02}):
        workflow = await Flow("later", steps.snoozes).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(steps.snoozes) == 1


async def test_a_step_ends_by_its_context_as_by_what_it_returns(start_oban: StartOban) -> None:
    flow = Flow("ends").add("cancelled", steps.ends_by_context.bind(how="cancel"))
    flow.add("snoozed", steps.ends_by_context.bind(how="snooze")).add("async", steps.ends_by_context_async)
    async with start_oban(stager={"interval": 0.02}):
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "cancelled"
        nodes = {node.step: node for node in await workflow.nodes()}
        assert {name: node.state for name, node in nodes.items()} == {
            "cancelled": "cancelled",
            "snoozed": "completed",
            "async": "cancelled",
        }
        assert nodes["cancelled"].error == "no stock"
        assert nodes["async"].error == "no stock either"
        assert await workflow.result("snoozed") == 1


@pytest.mark.parametrize(("step", "state"), [(steps.fails, "discarded"), (steps.cancels, "cancelled")])
async def test_what_waits_for_a_failed_step_is_cancelled_all_the_way_down(
    start_oban: StartOban, step: Any, state: str
) -> None:
    flow = Flow("falls").add("first", step).add("second", steps.noop, deps=["first"])
    flow.add("third", steps.noop, deps=["second"]).add("apart", steps.noop)
    async with start_oban():
        workflow = await flow.insert()
        status = await workflow.wait(TIMEOUT)
        states = {node.step: node.state for node in await workflow.nodes()}
        assert status.outcome == state
        assert states == {"first": state, "second": "cancelled", "third": "cancelled", "apart": "completed"}
        assert "an upstream was" in next(node.error or "" for node in await workflow.nodes() if node.step == "second")
        with pytest.raises(ResultNotReadyError, match="was cancelled"):
            await workflow.result("second")


async def test_an_ignored_upstream_is_none(start_oban: StartOban) -> None:
    flow = Flow("tolerant", steps.fails, steps.number.bind(value=3), steps.after_all, ignore_discarded=True)
    async with start_oban():
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        assert await workflow.result(steps.after_all) == "3 None"


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (Flow("lies", steps.lies), "BTN502"),
        (Flow("boasts", steps.boasts.bind(size=2_000)), "BTN503"),
    ],
    ids=["not what it says", "too large"],
)
async def test_a_result_that_can_not_be_stored_fails_at_once_without_retries(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch, flow: Flow, code: str
) -> None:
    monkeypatch.setenv("BATON_RESULT_LIMIT", "1000")
    async with start_oban():
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        (node,) = await workflow.nodes()
        assert node.attempt == 1
        assert code in (node.error or "")


async def test_a_timeout_fails_the_attempt(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await Flow("slow", steps.dawdles).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        assert "timed out" in ((await workflow.nodes())[0].error or "")


async def test_a_plain_oban_job_is_a_node(start_oban: StartOban) -> None:
    flow = Flow("mixed").add("seven", steps.number.bind(value=7))
    flow.add("export", steps.ExportWorker.new({"path": "x"}), deps=["seven"])
    flow.add("sum", steps.circumstances, deps=["export", "seven"])
    async with start_oban():
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert (await workflow.result("sum"))["upstream"] == {"export": None, "seven": 7}


async def test_a_plain_oban_job_that_is_discarded_cancels_what_waits_for_it(start_oban: StartOban) -> None:
    flow = Flow("mixed").add("export", steps.ExportWorker.new({"fail": True})).add("next", steps.noop, deps=["export"])
    async with start_oban():
        workflow = await flow.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        assert {node.step: node.state for node in await workflow.nodes()} == {
            "export": "discarded",
            "next": "cancelled",
        }


async def test_a_step_that_is_not_deployed_here_waits_for_another_try(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        workflow = await Flow("gone", steps.noop).insert()
        conn.execute("UPDATE oban_jobs SET worker = 'baton_dsl.steps.tests/integration/modules/steps:vanished'")
    async with start_oban():
        await until(lambda: conn.execute("SELECT state::text FROM oban_jobs").fetchone() == ("scheduled",))
    (node,) = workflow.sync.nodes()
    assert node.attempt == 0
    assert 'module "tests.integration.modules.steps" has no step "vanished"' in workflow.sync.why()


async def test_a_later_start_is_kept_when_the_upstreams_are_done(start_oban: StartOban) -> None:
    late = steps.noop.named("late")
    late.options = {"scheduled_in": 3600}
    async with start_oban():
        workflow = await Flow("later").add("first", steps.noop).add("late", late, deps=["first"]).insert()
        await until(lambda: workflow.sync.status().counts == {"completed": 1, "scheduled": 1})


async def test_waiting_too_long_says_so(start_oban: StartOban) -> None:
    async with start_oban(queues={}):
        workflow = await Flow("still", steps.noop).insert()
        with pytest.raises(WorkflowTimeoutError, match=r"has not ended within 0\.01 s"):
            await workflow.wait(0.01)
        with pytest.raises(WorkflowTimeoutError):
            workflow.sync.wait(0.01)
        with pytest.raises(ResultNotReadyError, match="has not completed"):
            await workflow.result(steps.noop)
        with pytest.raises(StepNotInWorkflowError, match='did you mean "noop"'):
            await workflow.result("nop")


async def test_a_workflow_that_is_not_there_says_so(start_oban: StartOban) -> None:
    async with start_oban(queues={}):
        workflow = Workflow.load("nowhere")
        for asked in (workflow.status(), workflow.wait(1), workflow.result("x")):
            with pytest.raises(WorkflowNotFoundError, match='there is no workflow "nowhere"'):
                await asked
        assert await workflow.results() == {}


async def test_the_sync_handle_says_the_same_as_the_async_one(start_oban: StartOban, dsn: str) -> None:
    async with start_oban():
        workflow = await Flow("both", steps.number.bind(value=5)).insert()
        await workflow.wait(TIMEOUT)
        loaded = Workflow.load(workflow.id, dsn=dsn)
        assert loaded.sync.wait(TIMEOUT) == await workflow.status() == loaded.sync.status()
        assert loaded.sync.result(steps.number) == await loaded.result("number") == 5
        assert loaded.sync.results() == {"number": 5}
        assert loaded.sync.nodes() == await loaded.nodes()


async def test_oban_without_our_extension_of_its_ack_gives_the_same(
    start_oban: StartOban, pool: AsyncConnectionPool[Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv("BATON_CLAIM", "off")
    with caplog.at_level(logging.WARNING):
        async with start_oban(queues={"default": 3, "auth": 1}):
            workflow = await steps.billing.insert(api_key="xyz")
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert not caplog.records


async def test_wait_is_woken_by_the_notification_of_the_end(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton_dsl.runtime.workflow.POLL", 1000.0)
    async with start_oban():
        workflow = await Flow("woken", steps.noop).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"


@pytest.mark.parametrize("style", ["German", "SQL,DMY", "Postgres"])
async def test_steps_run_and_are_told_of_however_the_server_writes_moments(
    start_oban: StartOban, dsn: str, style: str
) -> None:
    """psycopg parses times written as text in one style only."""
    settings = f"-c datestyle={style} -c timezone=Asia/Kathmandu"
    elsewhere = make_conninfo(dsn, options=settings)
    both = {"default": 5, "auth": 5}
    async with AsyncConnectionPool(elsewhere, max_size=5, open=False) as pool, start_oban(pool=pool, queues=both):
        workflow = await steps.billing.insert(api_key="k")
        status = await workflow.wait(TIMEOUT)
        assert status.outcome == "completed"
        assert status.settled_at is not None
        assert timedelta() < status.settled_at - status.inserted_at < timedelta(seconds=TIMEOUT)
        assert {node.state for node in await workflow.nodes()} == {"completed"}
        assert await workflow.why() == await asyncio.to_thread(workflow.sync.why)
        assert await asyncio.to_thread(workflow.sync.status) == status
