"""What steps record of their calls of models: usage, captures and checkpoints, on a real database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.conftest import StartOban
from tests.integration.modules import model_steps as steps

LLM = Flow("llm", steps.draft, steps.check, steps.words, steps.translate)


async def test_the_usage_of_a_workflow_has_the_calls_of_failed_attempts_too(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await LLM.insert()
        assert (await workflow.wait(60)).outcome == "completed"
        usage = await workflow.usage()

    assert usage == workflow.sync.usage()
    assert list(usage.steps) == ["draft", "check", "translate"]
    assert usage.steps["draft"].calls == 2
    assert usage.steps["draft"].input == 2_000_000
    assert usage.steps["draft"].latency == timedelta(seconds=4)
    assert usage.steps["draft"].cost == 2 * (Decimal("0.15") + Decimal("0.06"))
    assert usage.steps["translate"].calls == 3
    assert usage.models["unheard-of"].unpriced == 1
    assert usage.steps["check"].lower_bound
    assert usage.lower_bound
    assert not usage.steps["translate"].lower_bound
    assert usage.total.calls == 7
    attempts = conn.execute("SELECT attempt FROM baton_usage WHERE step_name = 'draft' ORDER BY 1").fetchall()
    assert attempts == [(1,), (2,)]


async def test_without_debug_nothing_is_captured(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban():
        workflow = await LLM.insert()
        await workflow.wait(60)
        assert await workflow.captures("draft") == []
    assert conn.execute("SELECT count(*) FROM baton_captures").fetchone() == (0,)


async def test_captures_have_each_exchange_without_its_secrets(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await LLM.options(debug=True, models={"translate": "anthropic:claude"}).insert()
        await workflow.wait(60)
        drafts = await workflow.captures(steps.draft)
        items = await workflow.captures("translate")
        assert await workflow.captures("words") == []
        second = await workflow.captures("translate[1]")

    assert [(it.attempt, it.number) for it in drafts] == [(1, 1), (2, 1)]
    assert drafts[0].request["api_key"] == "[redacted]"
    assert drafts[0].request["messages"][0]["content"] == "hi"
    assert drafts[0].response["usage"]["prompt_tokens"] == 1
    assert {it.model for it in items} == {"anthropic:claude"}
    assert {it.error for it in items} == {"ValueError: Bearer [redacted]"}
    assert [it.response for it in second] == ["B"]
    assert second == workflow.sync.captures("translate[1]")
    assert conn.execute("SELECT count(*) FROM baton_captures WHERE request::text LIKE '%s3cr3t%'").fetchone() == (0,)


@pytest.mark.parametrize("step", [steps.twice, steps.twice_in_a_thread])
async def test_a_call_that_is_stored_is_not_made_again(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: Any
) -> None:
    steps.CALLS.clear()
    async with start_oban():
        workflow = await Flow("once", step).insert(text="hi")
        assert (await workflow.wait(60)).outcome == "completed"
        answers = await workflow.result(step)
    assert steps.CALLS == ["hi", "HI!"]
    assert [answer.text for answer in answers] == ["HI", "HI!"]
    assert conn.execute("SELECT count(*) FROM baton_checkpoints").fetchone() == (0,)


async def test_a_step_whose_context_calls_nothing_runs_the_statements_of_a_step_without_one(
    start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query.as_string(None) if hasattr(query, "as_string") else str(query)
        sent.append(" ".join(text.split()))
        return await execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    kinds: list[set[str]] = []
    async with start_oban():
        for step in (steps.plain, steps.plain, steps.idle):  # the first warms up
            sent.clear()
            workflow = await Flow("quiet", step).insert()
            await workflow.wait(60)
            kinds.append(set(sent))
    assert any("baton_settle" in text for text in kinds[1])
    assert {text for text in kinds[2] - kinds[1] - kinds[0] if "baton" in text} == set()
    tables = ("baton_usage", "baton_captures", "baton_checkpoints", "baton_budgets", "baton_reservations")
    for table in tables:
        assert not any(table in text for text in kinds[2]), table
        assert conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
