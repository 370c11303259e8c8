"""The explanations for workflows in a database, whose facts are read correctly."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.errors import StepNotInWorkflowError, WorkflowNotFoundError
from tests.conftest import StartOban, until
from tests.integration.modules import mapped, steps
from tests.integration.modules.long_steps import hangs
from tests.integration.test_orphans import DEAD

TIMEOUT = 60
CLOCK = r"\d\d:\d\d:\d\d \S+"


def chain(first: Any = steps.noop) -> Flow[..., Any]:
    flow = Flow("chain").add("first", first).add("second", steps.noop, deps=["first"])
    return flow.add("third", steps.noop, deps=["second"])


async def test_a_chain_is_told_down_to_a_queue_that_no_node_runs(start_oban: StartOban) -> None:
    async with start_oban(queues={"other": 1}):
        workflow = await chain().insert()
        assert await workflow.why("third") == (
            '"third" waits for "second", which waits for "first", '
            'which could start, but no worker runs queue "default".'
        )
        assert workflow.sync.why() == (
            '3 of 3 steps have not settled: "first" could start, but no worker runs queue "default".'
        )


async def test_a_paused_queue_and_a_paused_workflow_are_told(start_oban: StartOban) -> None:
    async with start_oban() as oban:
        await oban.pause_queue("default")
        workflow = await chain().insert()

        async def is_told() -> bool:
            return "is paused on the only node that runs it" in await workflow.why("first")

        await until(is_told)
        await workflow.pause()
        assert re.search(rf"The workflow has been paused since {CLOCK}: 3 of 3 steps", await workflow.why())


async def test_a_place_in_the_queue_is_told(start_oban: StartOban) -> None:
    async with start_oban(queues={"default": 1}, shutdown_grace_period=0.1):
        running = await Flow("long", hangs).insert()

        async def runs() -> bool:
            return "has run since" in await running.why(hangs)

        await until(runs)
        others = [await Flow("other", steps.noop).insert() for _ in range(3)]
        taken = 'of queue "default", whose only slot is taken'
        assert await others[2].why("noop") == f'"noop" waits for a slot behind 2 jobs {taken}.'


async def test_a_step_of_a_process_that_is_gone_is_told(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await chain().insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="web-1", uuid=DEAD)
    assert workflow.sync.why("first") == (
        '"first" ran on node web-1, whose process is gone: it will start again once a node runs.'
    )
    conn.execute("UPDATE oban_jobs SET state = 'retryable', scheduled_at = now() + interval '90 s' WHERE attempt = 1")
    said = rf'"first" failed in attempt 1 of 20; attempt 2 starts at {CLOCK}, in 1 min \d+ s, but no worker runs queue'
    assert re.match(said, workflow.sync.why("first"))


async def test_the_cause_of_a_cancelled_step_and_of_an_ended_workflow_is_told(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await chain(steps.fails).insert()
        await workflow.wait(TIMEOUT)
        cause = rf'"first"(, which)? was discarded at {CLOCK} in attempt 1 of 1: \w+Error: '
        assert re.match(rf'"third" was cancelled because of "second", which .* {cause}', await workflow.why("third"))
        assert re.match(rf"The workflow was discarded at {CLOCK}: {cause}", await workflow.why())
        done = await chain().insert()
        await done.wait(TIMEOUT)
        assert re.fullmatch(rf"The workflow completed at {CLOCK}, after [\d.]+ m?s\.", await done.why())


async def test_a_workflow_that_somebody_cancelled_is_told(start_oban: StartOban) -> None:
    async with start_oban(queues={}):
        workflow = await chain().insert()
        await workflow.cancel()
        said = f"The workflow was cancelled at {CLOCK}: 3 steps had not run when somebody cancelled it."
        assert re.fullmatch(re.escape(said).replace(re.escape(CLOCK), CLOCK), await workflow.why())
        assert re.fullmatch(rf'"third" was cancelled with its workflow at {CLOCK}\.', await workflow.why("third"))


async def test_what_is_not_there_is_told(start_oban: StartOban, dsn: str) -> None:
    async with start_oban(queues={}):
        workflow = await chain().insert()
        with pytest.raises(StepNotInWorkflowError, match='did you mean "third"'):
            await workflow.why("thrid")
        with pytest.raises(WorkflowNotFoundError):
            await Workflow.load("nowhere", dsn=dsn).why()


async def test_a_map_is_told_with_its_items_and_a_skipped_step_with_its_reason(start_oban: StartOban) -> None:
    flow = Flow("summing", mapped.numbers, mapped.squares.named("squares"), mapped.total)
    async with start_oban() as oban:
        done = await flow.insert(count=3)
        await done.wait(TIMEOUT)
        assert re.fullmatch(rf'"squares" completed at {CLOCK}\.', await done.why("squares"))
        assert re.fullmatch(rf"The workflow completed at {CLOCK}, after .*\.", await done.why())
        await oban.stop_queue("default")
        waiting = await mapped.greeting.insert(names=["Ann", "Bob"], greeting="Hi")
        unserved = 'could start, but no worker runs queue "default"'

        async def is_told() -> bool:
            return unserved in await waiting.why()

        await until(is_told)
        assert await waiting.why("letter") == (
            f'"letter" waits for "greet", which waits for "greet[0]", which {unserved}; it also waits for "greet[1]".'
        )
        assert await waiting.why() == (f'2 of 2 steps have not settled: "greet[0]" {unserved}; "greet[1]" {unserved}.')
