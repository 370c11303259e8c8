"""Raise the budget of a workflow, so that steps that wait for it continue."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, LiteralString

from baton_dsl.core.wording import money
from baton_dsl.errors import BudgetError, WorkflowNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.operating.actions import answer, answer_sync

_APPROVE: Final[LiteralString] = (
    "SELECT ARRAY[old_budget, spent] FROM baton.baton_approve(%(id)s::text, %(budget)s::numeric)"
)


async def approve(database: Database, workflow_id: str, budget: Decimal | int) -> None:
    """Set the budget of a workflow.

    Args:
        database: The database of the workflow.
        workflow_id: Its id.
        budget: What it may cost in all, including what is spent.

    Raises:
        BudgetError: BTN524, if the amount is below what is spent, or the workflow has no budget.
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    amount = see_budget(budget)
    _check(workflow_id, amount, await answer(database, (_APPROVE, {"id": workflow_id, "budget": amount})))


def approve_sync(database: Database, workflow_id: str, budget: Decimal | int) -> None:
    """As `approve`, for sync code."""
    amount = see_budget(budget)
    _check(workflow_id, amount, answer_sync(database, (_APPROVE, {"id": workflow_id, "budget": amount})))


def see_budget(budget: Decimal | int) -> Decimal:
    """Refuse what is no amount.

    Raises:
        BudgetError: BTN524.
    """
    given: object = budget  # whatever it is declared as
    if isinstance(given, bool) or not isinstance(given, int | Decimal) or not Decimal(given).is_finite() or given < 0:
        raise BudgetError(
            f"a budget must be an exact number, zero or more, got {given!r:.60}", remedy='give Decimal("8.00")'
        )
    return Decimal(given)


def see_approved(workflow_id: str, budget: Decimal, old: Decimal | None, spent: Decimal | None) -> None:
    """Refuse a budget for a workflow that has none, or has spent more already.

    Raises:
        BudgetError: BTN524.
    """
    if old is None:
        raise BudgetError(
            f'workflow "{workflow_id}" has no budget, so there is nothing to approve',
            remedy="give the flow one before it is inserted: flow.options(budget=...)",
        )
    if spent is not None and spent > budget:
        raise BudgetError(
            f'workflow "{workflow_id}" has spent {money(spent)}, more than a budget of {money(budget)}',
            remedy=f"approve at least {money(spent)}, and what is still to come",
        )


def _check(workflow_id: str, budget: Decimal, found: list[Decimal | None] | None) -> None:
    if found is None:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    see_approved(workflow_id, budget, *found)
