"""A running step is asked to stop: it checks for that, or its task is cancelled."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from oban import Oban

from baton_dsl import Flow, Workflow
from tests.conftest import StartOban, until
from tests.integration.modules import cancellable_steps as given
from tests.integration.modules import steps

TIMEOUT = 60

type Ask = Callable[[Oban, Workflow[Any]], Awaitable[Any]]


async def by_workflow(_oban: Oban, workflow: Workflow[Any]) -> None:
    await workflow.cancel()


async def by_job(oban: Oban, _workflow: Workflow[Any]) -> None:
    await oban.cancel_job(1)


@pytest.fixture(params=[by_workflow, by_job])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


@pytest.fixture(autouse=True)
def forget() -> None:
    given.SEEN.clear()


async def run(start_oban: StartOban, step: Any, ask: Ask, **options: Any) -> dict[str, Any]:
    """Run a step and one that waits for it, ask the first to stop, and return how the nodes ended."""
    async with start_oban(stager={"interval": 0.02}, **options) as oban:
        workflow = await Flow("asked").add("first", step).add("next", steps.noop, deps=["first"]).insert()
        await until(lambda: "begun" in given.SEEN, TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            while "ended" not in given.SEEN:  # Oban may not listen yet
                await ask(oban, workflow)
                await asyncio.sleep(0.02)
        await workflow.wait(TIMEOUT)
        return {node.step: (node.state, node.attempt, node.error or "") for node in await workflow.nodes()}


async def test_a_cancellable_step_is_interrupted_cleans_up_and_is_cancelled(start_oban: StartOban, ask: Ask) -> None:
    nodes = await run(start_oban, given.interruptible, ask)
    assert given.SEEN == ["begun", "cleaned up", "ended"]
    assert nodes["first"] == ("cancelled", 1, "cancelled while it ran")
    assert nodes["next"][0] == "cancelled"


async def test_one_whose_clean_up_fails_is_cancelled_all_the_same(start_oban: StartOban, ask: Ask) -> None:
    nodes = await run(start_oban, given.fails_to_clean_up, ask)
    assert nodes["first"][:2] == ("cancelled", 1)
    assert "its clean-up failed: RuntimeError: no broom" in nodes["first"][2]


async def test_one_that_has_a_result_all_the_same_has_completed(start_oban: StartOban, ask: Ask) -> None:
    nodes = await run(start_oban, given.finishes_first, ask)
    assert nodes["first"][:2] == ("completed", 1)
    assert nodes["next"][0] == ("cancelled" if ask is by_workflow else "completed")


@pytest.mark.parametrize("step", [given.looks, given.looks_in_a_thread], ids=lambda step: step.name)
async def test_a_step_that_looks_ends_as_it_says(start_oban: StartOban, ask: Ask, step: Any) -> None:
    nodes = await run(start_oban, step, ask)
    assert nodes["first"] == ("cancelled", 1, "asked to stop")


async def test_a_step_that_returns_when_it_is_asked_has_completed(start_oban: StartOban, ask: Ask) -> None:
    nodes = await run(start_oban, given.looks_and_returns, ask)
    assert nodes["first"][:2] == ("completed", 1)


async def test_a_step_that_does_not_look_is_left_alone(start_oban: StartOban) -> None:
    async with start_oban() as oban:
        workflow = await Flow("deaf").add("first", given.deaf).insert()
        await until(lambda: "begun" in given.SEEN, TIMEOUT)
        await by_job(oban, workflow)
        given.GO_ON.set()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        given.GO_ON.clear()


async def test_the_writes_of_an_interrupted_step_are_rolled_back(
    start_oban: StartOban, conn: psycopg.Connection[Any], ask: Ask
) -> None:
    conn.execute("CREATE TABLE notes (note text)")
    nodes = await run(start_oban, given.interruptible_with_connection, ask)
    assert nodes["first"][:2] == ("cancelled", 1)
    assert conn.execute("SELECT count(*) FROM notes").fetchone() == (0,)


async def test_a_timeout_of_a_cancellable_step_is_a_failed_attempt(start_oban: StartOban) -> None:
    async with start_oban(stager={"interval": 0.02}):
        workflow = await Flow("slow", given.times_out).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        (node,) = await workflow.nodes()
    assert node.attempt == 2
    assert "timed out" in (node.error or "")
    assert given.SEEN == ["cleaned up", "cleaned up"]


NODE = """
import asyncio, sys
from baton_dsl.runtime.executing.process import serve
asyncio.run(serve(sys.argv[1], queues={"default": 5}, grace=float(sys.argv[2])))
"""


@pytest.mark.parametrize(("grace", "attempt"), [(30.0, 1), (0.05, 2)], ids=["it ends in time", "it does not"])
async def test_a_worker_that_is_stopped_gives_its_steps_time_and_leaves_what_does_not_end_to_others(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, grace: float, attempt: int
) -> None:
    conn.execute("CREATE TABLE notes (note text)")
    async with start_oban(queues={}):
        workflow = await Flow("stopped").add("first", given.waits_to_be_told).insert()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, dsn, str(grace))
    await until(lambda: noted(conn) == ["begun"], TIMEOUT)
    process.send_signal(signal.SIGTERM)
    if attempt == 1:
        stopping = "SELECT FROM oban_producers WHERE meta ? 'shutdown_started_at'"
        await until(lambda: conn.execute(stopping).fetchone() is not None, TIMEOUT)
        conn.execute("CREATE TABLE told ()")
    await asyncio.wait_for(process.wait(), TIMEOUT)
    assert process.returncode == 0
    if attempt == 2:
        assert noted(conn) == ["begun", "cleaned up"]
        conn.execute("CREATE TABLE told ()")
    async with start_oban():
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result("first") == attempt


def noted(conn: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in conn.execute("SELECT note FROM notes").fetchall()]
