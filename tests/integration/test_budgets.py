"""Budgets: attempts reserve costs atomically; a step that does not fit waits, and continues after an approval."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.errors import BudgetError, WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import read
from baton_dsl.runtime.observing.doctor import examine
from tests.conftest import StartOban, until
from tests.integration.modules import budget_steps as steps

MANY = Flow("many", steps.amounts, steps.pays, steps.total)
CHAIN = Flow("chain", steps.asks, steps.follows, steps.asks_again)


def waiting(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(
        "SELECT count(*) FROM oban_jobs JOIN baton_reservations AS reservation ON id = oban_job_id "
        "WHERE reservation.attempt IS NULL AND called_at IS NULL AND state = 'suspended'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def executing(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(
        "SELECT count(*) FROM oban_jobs WHERE state IN ('executing', 'available', 'scheduled', 'retryable')"
    ).fetchone()
    assert row is not None
    return int(row[0])


async def test_parallel_steps_take_turns_where_the_budget_is_not_enough_for_all_at_once(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    steps.MOST.clear()
    async with start_oban(queues={"default": 20}):
        workflow = await MANY.options(budget=Decimal(5)).insert(costs=["0.10"] * 30)
        assert (await workflow.wait(30)).outcome == "completed"
    usage = await workflow.usage()
    assert usage.cost == Decimal(3)
    assert usage.spent == Decimal(3)
    assert usage.budget == Decimal(5)
    assert max(steps.MOST) <= 5
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM baton_reservations").fetchone() == (0,)


async def test_what_does_not_fit_waits_and_goes_on_when_more_is_approved(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={"default": 20}):
        workflow = await MANY.options(budget=Decimal("3.5")).insert(costs=["1.00"] * 6)
        await until(lambda: waiting(conn) == 3 and executing(conn) == 0)
        status = await workflow.status()
        assert status.outcome is None
        assert await workflow.why("pays[5]") == (
            '"pays[5]" would cost up to 1.00, and 0.50 is left of the budget of 3.50: approve more with '
            "baton approve ID --budget 4.00."
        )
        assert "budget" in await workflow.why()
        report = await read(workflow._database, examine("public"))
        (found,) = report.findings
        waits = "wait for more than is left of its budget, of which 3.00 of 3.50 is spent"
        assert found.message == f'3 steps of workflow "{workflow.id}" {waits}'
        assert found.help == f"approve more: baton approve {workflow.id} --budget 4.00"
        assert not found.is_wrong
        with pytest.raises(BudgetError, match=r'BTN524: workflow ".*" has spent 3\.00, more than a budget of 2\.00'):
            await workflow.approve(Decimal(2))
        await workflow.approve(5)
        await until(lambda: waiting(conn) == 1 and executing(conn) == 0)
        await workflow.approve(Decimal(6))
        assert (await workflow.wait(30)).outcome == "completed"
        assert await workflow.result("total") == "6.00"
    assert conn.execute("SELECT max(attempt), sum(attempt) FROM oban_jobs WHERE worker LIKE '%pays'").fetchone() == (
        1,
        6,
    )


async def test_a_call_without_a_known_cost_counts_as_what_was_reserved(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await CHAIN.options(budget=3).insert()
        assert (await workflow.wait(20)).outcome == "completed"
    usage = await workflow.usage()
    assert (usage.cost, usage.spent, usage.lower_bound) == (2, 3, True)


async def test_a_step_that_waits_for_a_budget_can_be_paused_cancelled_retried_and_pruned(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow = await CHAIN.options(budget=1).insert()
        await until(lambda: waiting(conn) == 1)
        assert await workflow.pause()
        await workflow.approve(2)
        assert await workflow.resume()
        await until(lambda: waiting(conn) == 1 and executing(conn) == 0)
        assert await workflow.cancel()
        assert (await workflow.wait(10)).outcome == "cancelled"
        assert await workflow.retry()
        await until(lambda: waiting(conn) == 1 and executing(conn) == 0)
        await workflow.approve(10)
        assert (await workflow.wait(10)).outcome == "completed"
        assert await workflow.result("asks") == 1
    conn.execute("SELECT baton_prune('0', 10)")
    for table in ("baton_usage", "baton_reservations", "baton_workflows"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_only_what_has_a_budget_can_be_given_more(conn: psycopg.Connection[Any]) -> None:
    workflow = CHAIN.insert(conn)
    with pytest.raises(BudgetError, match=r"BTN524: .* has no budget"):
        workflow.sync.approve(5)
    with pytest.raises(BudgetError, match="exact number"):
        workflow.sync.approve(0.5)  # type: ignore[arg-type]
    with pytest.raises(WorkflowNotFoundError):
        Workflow.load("none", dsn=conn.info.dsn).sync.approve(5)


@pytest.mark.parametrize("seed", [1, 2])
async def test_parallel_steps_exceed_a_budget_by_no_more_than_they_declared_too_little(
    start_oban: StartOban, conn: psycopg.Connection[Any], seed: int
) -> None:
    random = Random(seed)
    costs = [f"{random.choice([0, 0.2, 0.7, 1.0, 1.3]):.2f}" for _ in range(40)]
    budget = Decimal(random.randint(3, 12))
    async with start_oban(queues={"default": 20}):
        workflow = await MANY.options(budget=budget).insert(costs=costs)
        await until(lambda: waiting(conn) > 0 and executing(conn) == 0, 40)
        usage = await workflow.usage()
    rows = conn.execute("SELECT greatest(cost - 1, 0) FROM baton_usage").fetchall()
    too_little = sum((row[0] for row in rows), Decimal(0))
    assert usage.spent == usage.cost
    assert usage.cost <= budget + too_little
    assert budget - usage.cost < 1  # nothing waits that would have fitted
