"""The research brief, run on a database: the real clients against its local server."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from research_brief import __main__ as command
from research_brief import asking, local_models
from research_brief.facts import Verdict
from research_brief.flow import LARGE, SMALL, brief, notes, research_brief, sources, verdicts

from baton_dsl.runtime import embedded
from baton_dsl.testing import Baton
from tests.conftest import StartOban, until

QUESTION = command.QUESTION


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    asking._openai.cache_clear()  # a client belongs to one event loop
    asking._anthropic.cache_clear()


async def test_the_brief_is_written_and_every_call_is_counted(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await research_brief.options(debug=True, budget=command.MOST).insert(question=QUESTION)
        assert (await workflow.wait(60)).outcome == "completed"
        written = await workflow.result(brief)
        judged = await workflow.result(verdicts)
        usage = await workflow.usage()
        captures = await workflow.captures("verdicts")
    assert list(judged) == list(written.answers) == [LARGE, SMALL]
    assert {type(verdict) for verdict in judged.values()} == {Verdict}
    assert written.answers[LARGE].startswith("yes")
    assert written.answers[SMALL].startswith("unclear")
    assert "do not agree" in written.summary
    assert {name: totals.calls for name, totals in usage.steps.items()} == {"notes": 4, "verdicts": 2, "brief": 1}
    assert set(usage.models) == {"claude-sonnet-4-6", "gpt-5-mini"}
    assert not usage.lower_bound
    assert Decimal(0) < usage.total.cost < command.MOST
    assert (usage.budget, usage.spent) == (command.MOST, usage.total.cost)
    assert {capture.node for capture in captures} == {"verdicts[0]", "verdicts[1]"}
    assert "Energy office" in str(captures[0].request)


async def test_a_budget_that_is_too_small_lets_nothing_start_that_does_not_fit(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await research_brief.options(budget=Decimal("0.01")).insert(question=QUESTION)

        async def is_waiting() -> bool:
            return "approve more with baton approve" in await workflow.why()

        await until(is_waiting)
        assert set((await workflow.usage()).steps) <= {"notes", "verdicts"}
        await workflow.approve(command.MOST)
        assert (await workflow.wait(60)).outcome == "completed"


def test_the_command_tells_the_brief_its_cost_and_what_a_model_saw(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "start", lambda: dsn)
    asyncio.run(command.main(QUESTION))
    told = capsys.readouterr().out
    assert f"\n{QUESTION}\n  {LARGE}: yes" in told
    assert "\nnotes                               4 " in told
    assert "\nclaude-sonnet-4-6                   2 " in told
    assert "\ntogether                            7 " in told
    assert "saw in step 'brief', attempt 1:\n  system: You write a brief" in told


def test_an_answer_that_is_no_json_is_asked_for_again_and_only_there(
    baton: Baton, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = local_models.answer

    def stumbles(system: str, text: str, **given: Any) -> dict[str, Any]:
        asked.append(system[:20])
        return {"points": "not a list"} if len(asked) == 1 else answer(system, text, **given)

    monkeypatch.setattr(local_models, "answer", stumbles)
    run = baton.sync.run(research_brief, question=QUESTION)
    assert run.outcome == "completed"
    assert (run.attempts(notes), run.attempts(verdicts), run.attempts(brief)) == (5, 2, 1)
    assert len(asked) == 8


def test_the_steps_are_functions() -> None:
    assert [source.title for source in sources()][:2] == ["Energy office, yearly report", "Survey of residents"]
    assert research_brief.validate() == ["sources", "notes", "verdicts", "brief"]
