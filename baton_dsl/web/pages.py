"""The pages of one workflow and of one step, and their downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.responses import RedirectResponse, Response

from baton_dsl.core.items import index_of
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.listing import full_ids
from baton_dsl.runtime.observing import why_facts
from baton_dsl.web import reads, step_reads
from baton_dsl.web.access import Refused
from baton_dsl.web.actions import DONE, actions_on
from baton_dsl.web.graph import READABLE, draw
from baton_dsl.web.rendering import download, render
from baton_dsl.web.timeline import timeline
from baton_dsl.web.visit import Visit

MOST_EXPLAINED: Final = 5_000
"""Nodes of a workflow whose sentence is made anew at each look; of a larger one it is made when it is asked for."""
STEPS_SHOWN: Final = 100
ITEMS_SHOWN: Final = 100
FAILURES_SHOWN: Final = 10


async def nowhere(_visit: Visit) -> Response:
    """What is no page.

    Raises:
        Refused: Always.
    """
    raise Refused(404, "Not found", "The dashboard has no such page.")


async def workflow(visit: Visit) -> Response:
    """The page of a workflow."""
    given = visit.asked("id")
    try:
        view, failures, sentence = await visit.read(_workflow(given, explained=bool(visit.asked("why"))))
    except WorkflowNotFoundError:
        (whole,) = await visit.read(full_ids([given]))
        if whole == given:
            raise
        return RedirectResponse(visit.url("/workflow", id=whole), 303)
    wanted, begin = visit.asked("state"), _number(visit, "first")
    steps = [node for node in view.nodes if not wanted or node.state == wanted]
    picture = draw(view.nodes, fold=visit.asked("fold") != "no")
    return render(
        visit,
        "workflow.html",
        workflow=view,
        sentence=sentence,
        failures=failures,
        most_failures=FAILURES_SHOWN,
        picture=picture,
        readable=READABLE,
        timeline=timeline(view),
        steps=steps[begin : begin + STEPS_SHOWN],
        found=len(steps),
        first=begin,
        state=wanted,
        actions=actions_on(view) if visit.may_operate else [],
        done=DONE.get(visit.asked("done")),
    )


def _workflow(
    workflow_id: str, *, explained: bool
) -> Reading[tuple[reads.WorkflowView, Sequence[tuple[str, str]], str | None]]:
    view = yield from reads.workflow(workflow_id)
    failures = yield from reads.failures(workflow_id, most=FAILURES_SHOWN + 1)
    sentence = None
    if explained or len(view.nodes) + view.of_maps <= MOST_EXPLAINED:
        sentence = yield from why_facts.explain(workflow_id, None)
    return view, failures, sentence


async def step(visit: Visit) -> Response:
    """The page of a step."""
    begin, wanted = _number(visit, "first"), visit.asked("state")
    workflow_id, name = visit.asked("id"), visit.asked("step")
    view, sentence, items = await visit.read(_step(workflow_id, name, begin, wanted or None))
    shown = items[:ITEMS_SHOWN]
    following = None
    if len(items) > ITEMS_SHOWN:
        following = index_of(items[ITEMS_SHOWN].step)
    return render(
        visit,
        "step.html",
        step=view,
        sentence=sentence,
        items=shown,
        first=begin,
        following=following[-1] if following else None,
        state=wanted,
        can_retry=visit.may_operate,
        done=DONE.get(visit.asked("done")),
    )


def _step(
    workflow_id: str, name: str, begin: int, state: str | None
) -> Reading[tuple[step_reads.StepView, str | None, list[step_reads.ItemView]]]:
    view = yield from step_reads.step(workflow_id, name)
    items: list[step_reads.ItemView] = []
    if view.is_map:
        items = yield from step_reads.items(workflow_id, name, first=begin, state=state, most=ITEMS_SHOWN + 1)
    sentence = yield from why_facts.explain(workflow_id, name)
    return view, sentence, items


async def inputs(visit: Visit) -> Response:
    """The inputs of a workflow as a file."""
    return await _file(visit, "inputs", visit.asked("id"), None)


async def result(visit: Visit) -> Response:
    """The result of a step as a file."""
    return await _file(visit, "result", visit.asked("id"), visit.asked("step"))


async def _file(visit: Visit, kind: str, workflow_id: str, name: str | None) -> Response:
    text = await visit.read(reads.whole(kind, workflow_id, name))
    if text is None:
        raise Refused(404, "Not found", f"There are no {kind} of that name.")
    return download(text, kind)


def _number(visit: Visit, name: str) -> int:
    text = visit.asked(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
