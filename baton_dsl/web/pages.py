"""The pages of one workflow and of one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import RedirectResponse, Response

from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.llm.reports import WorkflowUsage
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.listing import full_ids
from baton_dsl.runtime.observing import why_facts
from baton_dsl.runtime.usage.reports import usage_of_workflow
from baton_dsl.web import reads, step_reads
from baton_dsl.web.access import Refused
from baton_dsl.web.actions import DONE, actions_on
from baton_dsl.web.graph import READABLE, draw
from baton_dsl.web.rendering import render
from baton_dsl.web.step_reads import ITEMS_SHOWN, MOST_EXPLAINED
from baton_dsl.web.svg import drawn
from baton_dsl.web.timeline import timeline
from baton_dsl.web.visit import Visit

STEPS_SHOWN: Final = 100
FAILURES_SHOWN: Final = 10


async def nowhere(_visit: Visit) -> Response:
    """Refuse a request for a page that does not exist.

    Raises:
        Refused: Always.
    """
    raise Refused(404, "Not found", "The dashboard has no such page.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The contents of the page of a workflow."""

    view: reads.WorkflowView
    failures: Sequence[tuple[str, str]]
    sentence: str | None
    usage: WorkflowUsage


def read_workflow(workflow_id: str, *, explained: bool) -> Reading[_Read]:
    """The contents of the page of a workflow.

    Args:
        workflow_id: The id of the workflow.
        explained: Whether to include its sentence even if there are many nodes.
    """
    view = yield from reads.workflow(workflow_id)
    failures = yield from reads.failures(view, most=FAILURES_SHOWN + 1)
    usage = yield from usage_of_workflow(workflow_id)
    sentence = None
    if explained or len(view.nodes) + view.of_maps <= MOST_EXPLAINED:
        sentence = yield from why_facts.explain(workflow_id, None)
    return _Read(view=view, failures=failures, sentence=sentence, usage=usage)


async def workflow(visit: Visit) -> Response:
    """The page of a workflow."""
    given = visit.asked("id")
    try:
        found = await visit.read(read_workflow(given, explained=bool(visit.asked("why"))))
    except WorkflowNotFoundError:
        (whole,) = await visit.read(full_ids([given]))
        if whole == given:
            raise
        return RedirectResponse(visit.url("/workflow", id=whole), 303)
    view = found.view
    picture = draw(view.nodes, fold=visit.asked("fold") != "no")
    wanted, begin = visit.asked("state"), visit.number("first")
    steps = [node for node in view.nodes if not wanted or node.state == wanted]
    return render(
        visit,
        "workflow.html",
        workflow=view,
        sentence=found.sentence,
        failures=found.failures,
        most_failures=FAILURES_SHOWN,
        usage=found.usage,
        picture=picture,
        drawing=drawn(picture, href=visit.ways("/step", "step", id=view.id), unfolded=visit.url_with(fold="no")),
        readable=READABLE,
        timeline=timeline(view),
        steps=steps[begin : begin + STEPS_SHOWN],
        found=len(steps),
        first=begin,
        state=wanted,
        may_approve=visit.may_operate,
        actions=actions_on(view) if visit.may_operate else [],
        done=DONE.get(visit.asked("done")),
    )


async def step(visit: Visit) -> Response:
    """The page of a step."""
    begin, wanted = visit.number("first"), visit.asked("state")
    explained = bool(visit.asked("why"))
    view = await visit.read(
        step_reads.step(visit.asked("id"), visit.asked("step"), first=begin, state=wanted or None, explained=explained)
    )
    return render(
        visit,
        "step.html",
        view=view,
        record=view.record,
        node=view.record.node,
        items=view.items[:ITEMS_SHOWN],
        following=view.items[ITEMS_SHOWN].place if len(view.items) > ITEMS_SHOWN else None,
        first=begin,
        state=wanted,
        can_retry=visit.may_operate,
        done=DONE.get(visit.asked("done")),
    )
