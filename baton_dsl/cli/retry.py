"""`baton retry`: run steps again."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.models_option import models_option
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate_sync
from baton_dsl.runtime.workflow import Workflow


@click.command("retry")
@selection.many
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Run this step, or an item such as orders[3], and everything downstream again instead.",
)
@click.option(
    "--model",
    "models",
    metavar="STEP=MODEL",
    multiple=True,
    callback=models_option,
    help="Run this step with another model; assess[1]=MODEL changes the second model of a step of several.",
)
@database.options
def command(
    selected: selection.Selection,
    from_step: str | None,
    models: dict[str, str],
    dsn: str | None,
    prefix: str,
) -> None:
    """Run every step again that was cancelled or discarded. Stored results stay.

    With --from, that step and everything downstream of it run again, even if they completed, and their results are
    deleted. Workflows in which one of these steps is running, or has lost its job, are left alone.

    \b
    Examples:
      baton retry 01932c07
      baton retry 01932c07 --from charge
      baton retry 01932c07 --model parse=openai:gpt-5-mini
      baton retry --flow billing --outcome discarded --newer-than 1d
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        chosen = selection.chosen(
            where,
            "retry",
            selected,
            applies=lambda workflow: from_step is not None or workflow.cancelled + workflow.discarded > 0,
            instead="to start a step at once that waits for its next attempt, use --from STEP",
        )
        if from_step is not None and len(chosen) == 1:
            workflow = Workflow(chosen[0], database=where)
            workflow.sync.retry(from_step, models=models)  # it says why, if it can't
            if any(node.step == from_step and node.state == "cancelled" for node in workflow.sync.nodes()):
                terminal.echo(workflow.sync.why(from_step), err=True)
                terminal.echo("  help: without --from, every failed step runs again, its upstreams too", err=True)
            done = chosen
        else:
            done = operate_sync(where, Action.RETRY, WorkflowFilter(ids=chosen), from_step=from_step, models=models)
    selection.tell("retried", done)
    if len(done) < len(chosen):
        left = selection.counted(len(chosen) - len(done))
        terminal.echo(f"left {left} alone: a step is running, has no job any more, or does not exist", err=True)
