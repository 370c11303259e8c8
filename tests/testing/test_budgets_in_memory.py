"""Budgets of runs in memory: a step that does not fit waits, as on a database."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from baton_dsl import Flow
from baton_dsl.errors import BudgetError
from baton_dsl.testing import Baton
from tests.integration.modules import budget_steps as steps

MANY = Flow("many", steps.amounts, steps.pays, steps.total)
CHAIN = Flow("chain", steps.asks, steps.follows, steps.asks_again)


async def test_parallel_steps_take_turns_where_the_budget_is_not_enough_for_all_at_once(baton: Baton) -> None:
    steps.MOST.clear()
    run = await baton.run(MANY.options(budget=Decimal(5)), costs=["0.10"] * 30, queues={"default": 20})
    assert run.outcome == "completed"
    assert max(steps.MOST) == 5
    assert (run.usage.cost, run.usage.spent, run.usage.budget) == (Decimal(3), Decimal(3), Decimal(5))
    assert run.attempts(steps.pays) == 30


async def test_what_does_not_fit_waits_and_goes_on_when_more_is_approved(baton: Baton) -> None:
    run = await baton.run(MANY.options(budget=Decimal("3.5")), costs=["1.00"] * 6, queues={"default": 20})
    assert run.outcome is None
    assert [item.state for item in run.items(steps.pays)] == ["completed"] * 3 + ["suspended"] * 3
    assert run.why("pays[5]") == (
        '"pays[5]" would cost up to 1.00, and 0.50 is left of the budget of 3.50: approve more with baton approve ID '
        "--budget 4.00."
    )
    await run.until("pays[5]", "suspended")
    await run.approve(5)
    assert (await run.finish()).outcome is None
    await run.approve(10)
    assert (await run.finish()).outcome == "completed"
    assert run.attempts(steps.pays) == 6


def test_a_call_without_a_known_cost_counts_as_what_its_attempt_had_reserved(baton: Baton) -> None:
    run = baton.sync.run(CHAIN.options(budget=Decimal("2.5")))
    assert run.outcome is None  # asks has spent 2, follows reserves nothing, and 1 is not left for asks_again
    assert run.usage.spent == 2
    run.sync.approve(3)
    assert run.sync.finish().outcome == "completed"
    assert run.usage.spent == 3
    assert run.usage.cost == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_budget_is_exceeded_by_no_more_than_was_declared_too_little(baton: Baton, seed: int) -> None:
    random = Random(seed)
    costs = [f"{random.choice([0, 0.2, 0.7, 1.0, 1.3]):.2f}" for _ in range(40)]
    budget = Decimal(random.randint(3, 12))
    run = baton.sync.run(MANY.options(budget=budget), costs=costs, queues={"default": 20})
    paid = [Decimal(costs[int(call.node[5:-1])]) for call in run.calls(steps.pays)]
    assert run.usage.cost == sum(paid)
    assert sum(paid) <= budget + sum(max(cost - 1, Decimal(0)) for cost in paid)
    assert budget - sum(paid) < 1  # nothing waits that would have fitted


def test_only_what_has_a_budget_can_be_given_more(baton: Baton) -> None:
    run = baton.sync.run(CHAIN)
    assert run.usage.budget is None
    with pytest.raises(BudgetError, match=r"BTN524: .* has no budget"):
        run.sync.approve(5)
    with pytest.raises(BudgetError, match="exact number"):
        run.sync.approve(0.5)  # type: ignore[arg-type]
    run = baton.sync.run(CHAIN.options(budget=3))
    with pytest.raises(BudgetError, match=r"has spent"):
        run.sync.approve(1)


def test_an_exploration_runs_steps_that_take_turns_on_a_budget(baton: Baton) -> None:
    seen = baton.sync.explore(MANY.options(budget=1), costs=["0.10"] * 2, check=lambda run: run.usage.cost is not None)
    assert seen.is_complete
