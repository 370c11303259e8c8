"""A step of several models runs once for each model; its downstream steps take a dict by model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from baton_dsl import FlowError
from baton_dsl.core.wording import last_exception
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read
from baton_dsl.runtime.observing.doctor import examine
from tests.conftest import StartOban
from tests.integration.modules import several_model_steps
from tests.integration.modules.several_model_steps import (
    BROKEN,
    RUNS,
    Verdict,
    assess,
    brief,
    count,
    known,
    single,
    synthesis,
    votes,
)

TIMEOUT = 60
A, B = "anthropic:a", "openai:b"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    RUNS.clear()
    BROKEN.clear()


async def test_a_step_runs_once_a_model_and_its_downstream_takes_a_dict(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await brief.insert(text="three words more")
        status = await workflow.wait(TIMEOUT)
        assert status.outcome == "completed"
        whole = {A: Verdict(model=A, words=3), B: Verdict(model=B, words=3)}
        assert await workflow.result(assess) == whole
        assert workflow.sync.result("assess") == whole
        assert await workflow.result(assess, 1) == whole[B]
        assert (await workflow.results())["assess"] == whole
        assert await workflow.result(synthesis) == ["anthropic:a: 3", "openai:b: 3"]
        items = await workflow.items(assess)
        assert [(item.step, item.model, item.label) for item in items] == [
            ("assess[0]", A, "assess[0] (anthropic:a)"),
            ("assess[1]", B, "assess[1] (openai:b)"),
        ]
        assert [(node.step, node.model, node.items) for node in await workflow.nodes()] == [
            ("sources", None, None),
            ("assess", None, {"completed": 2}),
            ("synthesis", None, None),
        ]


async def test_an_insert_chooses_other_models_in_their_order(start_oban: StartOban) -> None:
    chosen = ("openai:z\"'\\é", "local:a", B)
    async with start_oban():
        workflow = await brief.options(models={"assess": list(chosen), "*": "unused:c"}).insert(text="a b", limit=1)
        await workflow.wait(TIMEOUT)
        assert list(await workflow.result(assess)) == list(chosen)
        assert {verdict.words for verdict in (await workflow.result(assess)).values()} == {1}
        assert dict.fromkeys(chosen, 1) == RUNS
        one = await brief.options(models={"assess": B}).insert(text="a b")
        await one.wait(TIMEOUT)
        assert await one.result(synthesis) == ["openai:b: 2"]


async def test_each_model_has_retries_of_its_own_and_a_retry_runs_only_what_failed(start_oban: StartOban) -> None:
    BROKEN.add(B)
    async with start_oban():
        workflow = await brief.insert(text="a b")
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        assert {A: 1, B: 3} == RUNS
        why = await workflow.why(synthesis)
        assert 'was cancelled because of "assess", which was discarded because of "assess[1]" (openai:b), which' in why
        assert "ConnectionError: openai:b does not answer" in why
        BROKEN.clear()
        assert await workflow.retry()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert {A: 1, B: 4} == RUNS
        assert await workflow.result(synthesis) == ["anthropic:a: 2", "openai:b: 2"]
        assert await workflow.retry("assess[0]")
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert {A: 2, B: 4} == RUNS
        assert await workflow.retry(assess)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert {A: 3, B: 5} == RUNS


async def test_a_model_that_fails_is_told_in_its_place_where_enough_of_them_succeeded(start_oban: StartOban) -> None:
    BROKEN.add(A)
    async with start_oban():
        workflow = await votes.insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        told = await workflow.result(count)
        assert list(told) == [A, B]
        assert last_exception(told[A]).endswith("ConnectionError: anthropic:a does not answer")
        assert told[B] == "completed"
        assert await workflow.result(known) == {A: None, B: True}
        assert await workflow.result("vote") == {B: True}


async def test_a_step_has_its_own_model_unless_the_flow_names_one_for_it(start_oban: StartOban) -> None:
    async with start_oban():
        for models, expected in (
            ({}, "local:small"),
            ({"*": "other:c"}, "local:small"),
            ({"single": "named:d", "*": "other:c"}, "named:d"),
        ):
            workflow = await votes.options(models=models).insert()
            await workflow.wait(TIMEOUT)
            assert await workflow.result(single) == expected
            node = next(node for node in await workflow.nodes() if node.step == "single")
            assert (node.model, node.label) == (expected, "single")


async def test_a_rerun_may_change_the_models(start_oban: StartOban) -> None:
    async with start_oban():
        old = await brief.insert(text="a b")
        await old.wait(TIMEOUT)
        new = await old.rerun(brief.options(models={"assess": ["openai:z"]}))
        await new.wait(TIMEOUT)
        assert await new.result(synthesis) == ["openai:z: 2"]
        assert list(await old.result(assess)) == [A, B]


async def test_the_rows_are_in_order(start_oban: StartOban, dsn: str) -> None:
    async with start_oban():
        workflow = await brief.insert(text="a b")
        await workflow.wait(TIMEOUT)
        report = await read(Database.configured(dsn=dsn), examine("public"))
        assert report.is_well, report


@pytest.mark.parametrize("models", [["anthropic:a", "openai:b"], ("anthropic:a",)])
def test_several_models_for_a_step_that_runs_once_are_refused(models: list[str]) -> None:
    with pytest.raises(FlowError, match='BTN312: option "models" gives step "sources" several models') as raised:
        several_model_steps.brief.options(models={"sources": models}).validate()
    assert raised.value.diagnostics[0].place is not None
    with pytest.raises(FlowError, match=r'several models to all steps that it does not name \("\*"\)'):
        brief.options(models={"*": models}).validate()


async def test_many_workflows_are_inserted_at_once_each_with_models_of_its_own(start_oban: StartOban) -> None:
    other = {"models": {"assess": ["local:c", A, B]}}
    async with start_oban():
        workflows = await brief.insert_many(None, [{"text": "a"}, ({"text": "a b"}, other), {"text": "a b c"}])
        for workflow in workflows:
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert [await workflow.result(synthesis) for workflow in workflows] == [
            ["anthropic:a: 1", "openai:b: 1"],
            ["local:c: 2", "anthropic:a: 2", "openai:b: 2"],
            ["anthropic:a: 3", "openai:b: 3"],
        ]
