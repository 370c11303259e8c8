"""A fan-in that is too large ends its own step with a sentence, and delays no other step."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from baton_dsl.runtime.values import payload as runtime_payload
from tests.conftest import StartOban
from tests.integration.modules import large_steps as given
from tests.integration.modules import steps

TIMEOUT = 60

flat = Flow("flat", given.numbers, given.large, given.all_of_them)
deep = Flow("deep", given.rows, given.deep, given.all_rows)


@pytest.mark.parametrize(("flow", "last"), [(flat, "all_of_them"), (deep, "all_rows")], ids=["flat", "deep"])
async def test_results_that_are_too_large_together_end_the_step_that_takes_them(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch, flow: Flow[..., Any], last: str
) -> None:
    async with start_oban():
        monkeypatch.setenv("BATON_FAN_IN_LIMIT", "10100")
        workflow = await flow.insert(count=10, size=1000)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(last) == 10_000
        monkeypatch.setenv("BATON_FAN_IN_LIMIT", "10000")
        workflow = await flow.insert(count=10, size=1000)
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        (node,) = [node for node in await workflow.nodes() if node.step == last]
        assert node.attempt == 1
        assert node.error is not None
        assert (
            f'BTN515: step "{last}" takes all results of "{"large" if flow is flat else "deep"}", which are'
            in node.error
        )
        assert "bytes of JSON together, the limit is 10,000; let the items return less" in node.error


async def test_a_context_that_asks_for_results_that_are_too_large_is_told_the_same(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_FAN_IN_LIMIT", "1000")
    flow = Flow("flow", given.numbers, given.large).add("last", given.by_the_context, deps=["large"])
    async with start_oban():
        workflow = await flow.insert(count=10, size=1000)
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        (node,) = [node for node in await workflow.nodes() if node.step == "last"]
        assert "BTN515" in (node.error or "")
        assert node.attempt == 1


async def test_what_the_database_can_not_build_for_one_holds_up_no_other(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """A small version of a list larger than a gigabyte: building it raises the same error."""
    conn.execute(
        "CREATE OR REPLACE FUNCTION baton_collect(map_id bigint, OUT result text, OUT absent jsonb) LANGUAGE plpgsql "
        "AS $$BEGIN RAISE EXCEPTION USING ERRCODE = '54000', MESSAGE = 'out of memory'; END$$"
    )
    async with start_oban(queues={"default": 50}) as oban:
        await oban.pause_queue("default")
        poisoned = [await flat.insert(count=2, size=10) for _ in range(3)]
        others = [await Flow("other", steps.noop).insert() for _ in range(20)]
        await oban.resume_queue("default")
        for workflow in others:
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        for workflow in poisoned:
            assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
            (node,) = [node for node in await workflow.nodes() if node.step == "all_of_them"]
            assert node.attempt == 1, [item.error for item in await workflow.items("large")]
            assert "BTN515: PostgreSQL can't return the results that job" in (node.error or "")


async def test_the_reasons_of_many_failed_items_are_cut(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    flow = Flow("failing", given.numbers, given.fails_at_length, given.told)
    async with start_oban():
        workflow = await flow.insert(count=30, size=50_000)
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        assert await workflow.result("told") == [None] * 30
        conn.execute("UPDATE workflow_nodes SET items = 32000 WHERE is_map")  # as if there were that many
        row = conn.execute("SELECT absent FROM workflow_nodes, baton_collect(oban_job_id) WHERE is_map").fetchone()
    assert row is not None
    reasons = [entry["reason"] for entry in row[0]]
    assert len(reasons) == 30
    assert all(len(reason) < 1100 and reason.endswith(" today\n") for reason in reasons)
    assert all(reason.startswith("Traceback (most recent call last):\n  ...\n") for reason in reasons)


async def test_a_result_that_the_database_refuses_ends_its_step_and_no_other(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL accepts only JSON results; if one were refused anyway, it is reported, and others are stored."""
    encode = runtime_payload.encode_result
    monkeypatch.setattr(
        runtime_payload, "encode_result", lambda node, *rest: "{no json" if node == "bad" else encode(node, *rest)
    )
    async with start_oban(queues={"default": 20}) as oban:
        await oban.pause_queue("default")
        flow = Flow("some").add("bad", steps.noop)
        for number in range(15):
            flow.add(f"good {number}", steps.noop)
        workflow = await flow.insert()
        await oban.resume_queue("default")
        assert (await workflow.wait(TIMEOUT)).counts == {"completed": 15, "discarded": 1}
        (node,) = [node for node in await workflow.nodes() if node.step == "bad"]
        assert 'BTN502: PostgreSQL does not store what step "bad" returned: InvalidTextRepresentation' in (
            node.error or ""
        )


@pytest.mark.slow
async def test_a_list_beyond_the_limit_of_postgresql_ends_its_step_alone(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_FAN_IN_LIMIT", "2000000000")
    async with start_oban(queues={"default": 4}):
        workflow = await flat.insert(count=70, size=16_000_000)
        other = await Flow("other", steps.noop).insert()
        assert (await other.wait(TIMEOUT)).outcome == "completed"
        assert (await workflow.wait(600)).outcome == "discarded"
        (node,) = [node for node in await workflow.nodes() if node.step == "all_of_them"]
        assert "BTN515" in (node.error or "")
        assert node.attempt == 1
