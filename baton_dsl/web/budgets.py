"""Approve a budget: the page that asks for the new budget of a workflow, and its action."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from starlette.responses import RedirectResponse, Response

from baton_dsl.llm.reports import WorkflowUsage
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.operating.approving import approve
from baton_dsl.runtime.usage.reports import usage_of_workflow
from baton_dsl.web import reads
from baton_dsl.web.access import Refused, form_of, note
from baton_dsl.web.reads import WorkflowView
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

LONGEST: Final = 40
"""The most characters of an amount."""


def _budget(workflow_id: str) -> Reading[tuple[WorkflowView, WorkflowUsage]]:
    view = yield from reads.workflow(workflow_id)
    usage = yield from usage_of_workflow(workflow_id)
    return view, usage


async def ask(visit: Visit) -> Response:
    """The page that shows what is spent, and asks for a new budget."""
    if not visit.may_operate:
        raise Refused(403, "Read only", "You may read this dashboard, but not operate.")
    view, usage = await visit.read(_budget(visit.asked("id")))
    if usage.budget is None:
        raise Refused(
            409,
            "No budget",
            "The workflow has no budget, so there is nothing to approve.",
            "Set one before the insert: flow.options(budget=...).",
        )
    return render(visit, "budget.html", workflow=view, usage=usage, longest=LONGEST)


async def approved(visit: Visit) -> Response:
    """Set the budget from a form."""
    form = await form_of(visit.request)
    workflow_id, text = visit.asked("id"), form.get("budget", "").strip()
    try:
        amount = Decimal(text[:LONGEST])
    except InvalidOperation:
        raise Refused(
            400, "No amount", f"“{text[:LONGEST]}” is not an amount.", "Write a number, such as 8.50."
        ) from None
    assert visit.database is not None, "the user is authorized before an action"
    await approve(visit.database, workflow_id, amount)
    note(visit.request, f'approved a budget of {amount:f} for workflow "{workflow_id}"')
    return RedirectResponse(visit.url("/workflow", id=workflow_id, done="approve"), 303)
