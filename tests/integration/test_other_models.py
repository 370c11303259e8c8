"""A retry may choose other models, only for steps that run again; in the database as in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.errors import RetryError, StepNotInWorkflowError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import retry, retry_sync
from baton_dsl.testing import Baton
from tests.conftest import StartOban
from tests.integration.modules.several_model_steps import (
    BROKEN,
    RUNS,
    assess,
    brief,
    judged,
    synthesis,
    titled,
    titles,
)

TIMEOUT = 60
A, B, C = "anthropic:a", "openai:b", "local:c"
SMALL = "local:small"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    RUNS.clear()
    BROKEN.clear()


class Stored:
    """A workflow in the database, with the interface of a run in memory."""

    def __init__(self, workflow: Workflow[Any]) -> None:
        self.workflow = workflow

    async def finish(self) -> str | None:
        return (await self.workflow.wait(TIMEOUT)).outcome

    async def retry(self, step: Any = None, *, models: Mapping[str, str] | None = None) -> bool:
        return await self.workflow.retry(step, models=models)

    async def result(self, step: Any) -> Any:
        return await self.workflow.result(step)

    async def models(self, step: Any) -> list[str | None]:
        return [item.model for item in await self.workflow.items(step)]


class InMemory:
    def __init__(self, run: Any) -> None:
        self.run = run

    async def finish(self) -> str | None:
        await self.run.finish()
        return self.run.outcome

    async def retry(self, step: Any = None, *, models: Mapping[str, str] | None = None) -> bool:
        return await self.run.retry(step, models=models)

    async def result(self, step: Any) -> Any:
        return self.run[step]

    async def models(self, step: Any) -> list[str | None]:
        return [item.model for item in self.run.items(step)]


@pytest.fixture(params=["database", "memory"])
async def start(request: pytest.FixtureRequest, baton: Baton, start_oban: StartOban) -> Any:
    if request.param == "memory":

        async def in_memory(flow: Flow[..., Any], **inputs: Any) -> InMemory:
            return InMemory(await baton.run(flow, **inputs))

        yield in_memory
    else:
        async with start_oban():

            async def stored(flow: Flow[..., Any], **inputs: Any) -> Stored:
                return Stored(await flow.insert(**inputs))

            yield stored


async def test_a_step_that_failed_runs_again_with_another_model_and_forgets_what_the_old_one_said(start: Any) -> None:
    BROKEN.add(SMALL)
    workflow = await start(titles, text="a b")
    assert await workflow.finish() == "discarded"
    assert await workflow.retry(models={"judged": C})
    assert await workflow.finish() == "completed"
    assert await workflow.result(judged) == f"{C} of 2"
    assert {f"said by {SMALL}": 1, f"said by {C}": 1} == {key: RUNS[key] for key in RUNS if key.startswith("said")}


async def test_the_same_model_keeps_what_is_stored_of_its_answers(start: Any) -> None:
    BROKEN.add(SMALL)
    workflow = await start(titles, text="a b")
    await workflow.finish()
    BROKEN.clear()
    assert await workflow.retry(models={"judged": SMALL})
    assert await workflow.finish() == "completed"
    assert RUNS[f"said by {SMALL}"] == 1


async def test_the_items_of_a_map_that_run_again_have_the_new_model_the_others_stay(start: Any) -> None:
    BROKEN.add("b")
    workflow = await start(titles, text="a b")
    await workflow.finish()
    BROKEN.clear()
    assert await workflow.retry(models={"titled": C})
    assert await workflow.finish() == "completed"
    assert await workflow.result(titled) == [f"a by {SMALL}", f"b by {C}"]
    assert await workflow.retry(titled, models={"titled": B, "judged": A})
    assert await workflow.finish() == "completed"
    assert await workflow.result(titled) == [f"a by {B}", f"b by {B}"]
    assert await workflow.result(judged) == f"{A} of 2"


async def test_of_a_step_of_several_models_nothing_changes_but_the_named_one(start: Any) -> None:
    BROKEN.add(B)
    workflow = await start(brief, text="a b")
    await workflow.finish()
    assert await workflow.retry(models={"assess[1]": C})
    assert await workflow.finish() == "completed"
    assert {A: 1, B: 3, C: 1} == RUNS
    assert list(await workflow.result(assess)) == [A, C]
    assert await workflow.models(assess) == [A, C]
    assert await workflow.result(synthesis) == [f"{A}: 2", f"{C}: 2"]
    assert await workflow.retry("sources", models={"assess[0]": "other:d"})  # the items are made anew
    assert await workflow.finish() == "completed"
    assert list(await workflow.result(assess)) == ["other:d", C]


async def test_what_can_not_change_is_refused_and_nothing_runs_again(start: Any) -> None:
    BROKEN.add(B)
    workflow = await start(brief, text="a b")
    await workflow.finish()
    for error, models, told in (
        (StepNotInWorkflowError, {"asses[1]": C}, 'did you mean "assess'),
        (StepNotInWorkflowError, {"assess[2]": C}, 'did you mean "assess'),
        (StepNotInWorkflowError, {"a\0": C}, "no step has the name"),
        (RetryError, {"assess": C}, 'name its item: "assess[0]"'),
        (RetryError, {"synthesis": C}, "has no model of its own"),
        (RetryError, {"assess[0]": C}, "it does not run again"),
        (RetryError, {"assess[1]": A}, f'would run twice with model "{A}"'),
        (RetryError, {"assess[1]": ""}, "must be the name of a model"),
        (RetryError, {"assess[1]": (A, C)}, "must be the name of one model"),
        (RetryError, {"assess[1]": "a\0"}, "must be names that PostgreSQL can store"),
    ):
        with pytest.raises(error) as raised:
            await workflow.retry(models=models)
        assert told in str(raised.value), (models, str(raised.value))
    assert {A: 1, B: 3} == RUNS
    assert await workflow.models(assess) == [A, B]


async def test_usage_keeps_the_model_of_each_attempt(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    BROKEN.add(SMALL)
    async with start_oban():
        workflow = await titles.insert(text="a")
        await workflow.wait(TIMEOUT)
        await asyncio.to_thread(workflow.sync.retry, models={"judged": C})
        await workflow.wait(TIMEOUT)
    rows = conn.execute("SELECT attempt, model FROM baton_usage ORDER BY attempt").fetchall()
    assert rows == [(1, SMALL), (2, C)]
    assert {node.step: node.model for node in await workflow.nodes()}["judged"] == C


async def test_of_several_workflows_those_keep_their_model_in_which_the_step_does_not_run_again(
    start_oban: StartOban, dsn: str
) -> None:
    async with start_oban():
        BROKEN.add(SMALL)
        first = await titles.insert(text="a b")
        await first.wait(TIMEOUT)
        BROKEN.add("b")
        second = await titles.insert(text="a b")
        await second.wait(TIMEOUT)
        BROKEN.clear()
        which = WorkflowFilter(ids=[first.id, second.id])
        database = Database.configured(dsn=dsn)
        with pytest.raises(StepNotInWorkflowError, match='did you mean "titled"'):
            retry_sync(database, which, models={"title": C})
        assert (await retry(database, which, models={"titled": C})).ids == sorted([first.id, second.id])
        await first.wait(TIMEOUT)
        await second.wait(TIMEOUT)
        assert await first.result(titled) == [f"a by {SMALL}", f"b by {SMALL}"]
        assert await second.result(titled) == [f"a by {SMALL}", f"b by {C}"]
