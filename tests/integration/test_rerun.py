"""A rerun inserts a workflow again with its old inputs, using the current code of the flow."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from baton_dsl import Flow, Input, Workflow, step
from baton_dsl.errors import FlowMismatchError, InputError, WorkflowNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.rerun import rerun
from tests.conftest import StartOban
from tests.integration.modules import mapped, steps
from tests.integration.modules.steps import Colour, Line, Point

TIMEOUT = 60


@step
def shown(line: Input[Line], day: Input[date], names: Input[set[str]], times: Input[int] = 2) -> str:
    assert isinstance(line.colour, Colour)
    return f"{line.start.x} {day:%B} {sorted(names)} {times}"


showing = Flow("showing", shown)


@step(name="shown")
def strict(line: Input[Line], day: Input[int], again: Input[bool]) -> str:
    return f"{line} {day} {again}"


GIVEN: dict[str, Any] = {"line": Line(Point(1, 2.5), [], Colour.RED), "day": date(2026, 11, 22), "names": {"b", "a"}}


async def test_a_workflow_runs_once_more_with_its_inputs_and_its_label(start_oban: StartOban) -> None:
    async with start_oban():
        old = await showing.options(workflow_name="of today").insert(**GIVEN)
        await old.wait(TIMEOUT)
        new = await old.rerun(showing)
        again = old.sync.rerun(showing.options(workflow_id="chosen", workflow_name="again"))
        assert (await new.wait(TIMEOUT)).name == "of today"
        assert (await again.wait(TIMEOUT)).name == "again"
        assert again.id == "chosen"
        assert await new.result(shown) == await old.result(shown) == "1 November ['a', 'b'] 2"
        assert len({old.id, new.id, again.id}) == 3


async def test_inputs_that_the_flow_does_not_take_any_more_are_told_all_at_once(start_oban: StartOban) -> None:
    async with start_oban(queues={}):
        old = await showing.insert(**GIVEN)
        with pytest.raises(InputError) as raised:
            await old.rerun(Flow("showing", strict))
        assert [finding.code for finding in raised.value.diagnostics] == ["BTN303"] * len(raised.value.diagnostics)
        assert 'the flow has no input called "names"' in str(raised.value)
        assert 'input "again" is missing' in str(raised.value)
        assert raised.value.__notes__ == [f'the inputs are those that workflow "{old.id}" has stored']
        with pytest.raises(InputError, match=re.escape('input "day" must be int, got str')):
            old.sync.rerun(Flow("showing", strict.bind(again=True), shown.named("other").bind(day=date(2026, 1, 1))))


async def test_a_workflow_runs_once_more_only_in_its_own_flow(start_oban: StartOban, dsn: str) -> None:
    async with start_oban(queues={}):
        old = await showing.insert(**GIVEN)
        with pytest.raises(FlowMismatchError, match='is of flow "showing", not "billing"') as raised:
            await old.rerun(steps.billing)
        assert raised.value.code == "BTN416"
        with pytest.raises(WorkflowNotFoundError):
            await Workflow.load("nowhere", dsn=dsn).rerun(showing)


async def test_of_many_workflows_all_or_none_run_once_more(start_oban: StartOban, dsn: str) -> None:
    database = Database.configured(dsn=dsn)
    async with start_oban(queues={}):
        old = [(await showing.insert(**GIVEN)).id for _ in range(3)]
    new = await rerun(database, WorkflowFilter(flow="showing"), showing)
    assert sorted(new) == sorted(old)
    assert len({*new.values(), *old}) == 6
    with pytest.raises(InputError):
        await rerun(database, WorkflowFilter(flow="showing"), Flow("showing", strict))
    assert await rerun(database, WorkflowFilter(ids=["nowhere"]), showing) == {}


async def test_what_was_mapped_over_is_mapped_over_once_more(start_oban: StartOban) -> None:
    async with start_oban():
        old = await mapped.greeting.insert(names=["Ann", "Bob"], greeting="Hi")
        await old.wait(TIMEOUT)
        new = await old.rerun(mapped.greeting)
        assert (await new.wait(TIMEOUT)).outcome == "completed"
        assert await new.result("letter") == await old.result("letter") == "Hi Ann, Hi Bob"
