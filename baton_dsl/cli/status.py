"""`baton status`: show the progress of a workflow."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from baton_dsl.cli import database, picture, progress, selection, terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.core.drawing import MOST_TELLING, Drawing
from baton_dsl.core.wording import printable
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.workflow_filter import is_stuck
from baton_dsl.runtime.workflow import NodeStatus, Workflow, WorkflowStatus
from baton_dsl.status import Standing

OUTCOMES: Final = {"completed": "green", "cancelled": "yellow", "discarded": "red", "stuck": "red"}
UNDER_WAY: Final = {
    "running": "under way",
    "stuck": "stuck, under way",
    "paused": "paused, under way",
    "stopping": "cancelled, but still under way",
}


@click.command("status")
@click.argument("workflow_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the status and every node as JSON.")
@click.option(
    "--watch",
    is_flag=True,
    help="Follow the workflow to its end; the exit code then tells the outcome, as in baton run.",
)
@database.options
def command(workflow_id: str, as_json: bool, watch: bool, dsn: str | None, prefix: str) -> int:
    """Show the progress of a workflow: its graph, the state of each step, and why steps failed."""
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        workflow = Workflow(selection.full_id(where, workflow_id), database=where)
        status = workflow.sync.status()
        if watch and status.outcome is None:
            status = asyncio.run(progress.follow(workflow, progress.shown()))
        found = workflow.sync.nodes()
        standing = "stuck" if read_sync(where, is_stuck(workflow.id)) else status.standing
    if as_json:
        terminal.echo_json({"workflow": status, "nodes": found})
    else:
        terminal.echo_coloured(status_text(status, standing, found))
    return Exit.NOT_COMPLETED if watch and status.outcome != "completed" else Exit.DONE


def headline(status: WorkflowStatus, standing: Standing) -> str:
    """Two lines: the name and id of a workflow, and its progress."""
    counts = ", ".join(f"{status.counts[state]:,} {state}" for state in MOST_TELLING[::-1] if status.counts.get(state))
    how = click.style(UNDER_WAY.get(standing, standing), fg=OUTCOMES.get(standing, "blue"), bold=True)
    return (
        f"{click.style(printable(status.name), bold=True)}  {printable(status.id)}\n"
        f"{how}{', took' if status.outcome else ' for'} {picture.lasted(status)}: {counts}"
    )


def status_text(status: WorkflowStatus, standing: Standing, found: list[NodeStatus]) -> str:
    """The progress of a workflow as text, with colours that `click.echo` removes if the output is no terminal."""
    drawing = Drawing.of(picture.graph_of(status.name, found), width=terminal.width(), strokes=terminal.strokes())
    return "\n".join(
        (
            headline(status, standing),
            "",
            terminal.coloured(drawing, picture.states_of(found), picture.remarks_on(found)),
        )
    )
