"""Actions on workflows: each first shows what will happen, and writes a line to the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from starlette.responses import RedirectResponse, Response

from baton_dsl.core.wording import counted, unstorable
from baton_dsl.errors import BatonError
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate, refusal
from baton_dsl.web import reads
from baton_dsl.web.access import Refused, form_of, note
from baton_dsl.web.reads import WorkflowView
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

NAMED: Final = 12
"""How many steps a confirmation names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An action that a page offers.

    Attributes:
        name: Its name in the form.
        title: The label of its button.
        action: The action of the runtime.
        done: The message after it was done.
        applies: Whether it applies to a workflow in its current state.
        is_grave: Whether it can't be undone.
    """

    name: str
    title: str
    action: Action
    done: str
    applies: Callable[[WorkflowView], bool]
    is_grave: bool = False


DEEDS: Final[Mapping[str, Deed]] = {
    deed.name: deed
    for deed in (
        Deed(
            name="retry",
            title="Retry",
            action=Action.RETRY,
            done="The failed steps run again.",
            applies=lambda view: bool(view.counts.get("discarded") or view.counts.get("cancelled")),
        ),
        Deed(
            name="pause",
            title="Pause",
            action=Action.PAUSE,
            done="The workflow is paused: no further step starts.",
            applies=lambda view: not view.is_settled and view.paused_at is None,
        ),
        Deed(
            name="resume",
            title="Resume",
            action=Action.RESUME,
            done="The workflow continues.",
            applies=lambda view: not view.is_settled and view.paused_at is not None,
        ),
        Deed(
            name="cancel",
            title="Cancel",
            action=Action.CANCEL,
            done="The workflow is cancelled: no further step starts, and running steps are asked to stop.",
            applies=lambda view: not view.is_settled and view.stopped_at is None,
            is_grave=True,
        ),
    )
}

DONE: Final[Mapping[str, str]] = {
    **{deed.name: deed.done for deed in DEEDS.values()},
    "approve": "The budget is approved: steps that waited for it continue.",
    "retry-from": "The step and everything downstream run again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an action will do.

    Attributes:
        title: The question, such as `Cancel this workflow?`.
        button: The label of the button.
        sentences: What will happen.
        steps: The names of some of the steps that it changes.
        more: How many more steps it changes.
        obstacle: Why it can't be done now; None if it can.
        remedy: What to do about the obstacle.
    """

    title: str
    button: str
    sentences: Sequence[str]
    steps: Sequence[str] = ()
    more: int = 0
    obstacle: str = ""
    remedy: str = ""
    is_grave: bool = False


def actions_on(view: WorkflowView) -> list[Deed]:
    """The actions that apply to a workflow in its current state."""
    return [deed for deed in DEEDS.values() if deed.applies(view)]


def _steps(count: int) -> str:
    return counted(count, "step")


_OPEN: Final = ("suspended", "scheduled", "available", "retryable", "gone")


def _plan(deed: Deed, view: WorkflowView) -> Plan:
    counts = view.counts
    running = counts.get("executing", 0)
    waiting = sum(counts.get(state, 0) for state in _OPEN)
    run = f"{_steps(running)} that {'runs' if running == 1 else 'run'} now"
    sentences: list[str]
    steps: list[str] = []
    match deed.name:
        case "cancel":
            waits = "step that has" if waiting == 1 else "steps that have"
            sentences = [
                f"{waiting:,} {waits} not started will never run." if waiting else "No step is waiting any more."
            ]
            if running:
                sentences.append(f"{run} will be asked to stop, and will not be retried.")
            sentences.append("Stored results stay, and the workflow can be retried later.")
            steps = [node.step for node in view.nodes if not node.is_settled]
        case "pause":
            wait = f"{_steps(waiting)} that {'waits' if waiting == 1 else 'wait'}"
            sentences = [f"None of the {wait} will start until you resume the workflow."]
            if running:
                sentences.append(f"{run} will continue to the end.")
        case "resume":
            sentences = [f"{_steps(waiting)} may start again, each as soon as its upstreams have completed."]
        case _:
            failed = [node.step for node in view.nodes if node.state in ("discarded", "cancelled")]
            behind = sum(node.by_upstream and node.state == "cancelled" for node in view.nodes)
            what = f"{_steps(len(failed))} that failed or {'was' if len(failed) == 1 else 'were'} cancelled"
            sentences = [f"{what} will run again, with new attempts."]
            if behind:
                sentences.append(f"{behind:,} of them only waited for others that failed.")
            kept = counts.get("completed", 0)
            if kept:
                sentences.append(f"{_steps(kept)} that completed will not run again: their results stay.")
            steps = failed
    return Plan(
        title=f"{deed.title} this workflow?",
        button=f"{deed.title} the workflow",
        sentences=sentences,
        steps=steps[:NAMED],
        more=max(len(steps) - NAMED, 0),
        is_grave=deed.is_grave,
    )


_BEHIND: Final[LiteralString] = """
    SELECT node.step_name, node.outcome, behind.is_made_anew, count(*) OVER () AS total,
        count(*) FILTER (WHERE node.outcome = 'completed') OVER () AS completed
    FROM baton.baton_behind(ARRAY[%(workflow_id)s::text], %(step)s::text) AS behind
    JOIN baton.workflow_nodes AS node ON node.oban_job_id = behind.id
    WHERE behind.is_whole
    ORDER BY node.oban_job_id LIMIT %(most)s
"""


def _plan_from(workflow_id: str, step: str) -> Reading[Plan]:
    obstacle: BatonError | None = yield from refusal(workflow_id, step)
    rows = yield _BEHIND, {"workflow_id": workflow_id, "step": step, "most": NAMED}
    total = rows[0]["total"] if rows else 0
    completed = rows[0]["completed"] if rows else 0
    sentences = [f"{_steps(total)} will run again: this one and everything downstream."]
    if completed:
        sentences.append(f"{_steps(completed)} of these completed: their results will be deleted.")
    sentences.append("All other results stay.")
    return Plan(
        title=f"Retry from “{step}”?",
        button="Retry from here",
        sentences=sentences,
        steps=[row["step_name"] for row in rows],
        more=max(total - len(rows), 0),
        obstacle=obstacle.message if obstacle else "",
        remedy=obstacle.remedy if obstacle else "",
        is_grave=bool(completed),
    )


async def confirm(visit: Visit) -> Response:
    """The page that shows what an action will do, and asks for confirmation."""
    if not visit.may_operate:
        raise Refused(403, "Read only", "You may read this dashboard, but not operate.")
    workflow_id, name, step = visit.asked("id"), visit.asked("do"), visit.asked("step")
    view = await visit.read(reads.workflow(workflow_id))
    if step:
        if unstorable(step):
            raise Refused(404, "Not found", "There is no step with that name.")
        plan = await visit.read(_plan_from(workflow_id, step))
    else:
        deed = _deed(name)
        plan = _plan(deed, view)
        if not deed.applies(view):
            raise Refused(409, "Nothing to do", f"The workflow is {view.standing}: there is nothing to {deed.name}.")
    return render(visit, "confirm.html", workflow=view, plan=plan, do=name, step=step)


async def act(visit: Visit) -> Response:
    """Do the action that a form has confirmed."""
    await form_of(visit.request)
    workflow_id, name, step = visit.asked("id"), visit.asked("do"), visit.asked("step")
    assert visit.database is not None, "the user is authorized before an action"
    if step:
        action, said = Action.RETRY, f'retry from step "{step}"'
    else:
        deed = _deed(name)
        action, said = deed.action, deed.name
    done = await operate(visit.database, action, WorkflowFilter(ids=[workflow_id]), from_step=step or None)
    outcome = "done" if done else "nothing to do"
    note(visit.request, f'asked to {said} workflow "{workflow_id}": {outcome}')
    if done:
        page = "/step" if step else "/workflow"
        done_name = "retry-from" if step else name
        return RedirectResponse(visit.url(page, id=workflow_id, step=step, done=done_name), 303)
    if step:
        obstacle = await visit.read(refusal(workflow_id, step))
        if obstacle is not None:
            raise obstacle
    view = await visit.read(reads.workflow(workflow_id))
    raise Refused(
        409, "Nothing was done", f"The workflow is {view.standing} by now.", "Look at it again before you continue."
    )


def _deed(name: str) -> Deed:
    if name not in DEEDS:
        raise Refused(400, "No such action", f"There is no action “{name}” on workflows.")
    return DEEDS[name]
