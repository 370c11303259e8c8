"""`baton retry`: run steps again."""

from __future__ import annotations

from dataclasses import replace

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.models_option import models_option
from baton_dsl.core.rules.option import MOST_ATTEMPTS
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Retried, retry_sync
from baton_dsl.runtime.workflow import Workflow


@click.command("retry")
@selection.many
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Run this step, or an item such as orders[3], and everything downstream again.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, MOST_ATTEMPTS),
    metavar="N",
    help="How many more attempts each failed step gets; default: those it has left, at least 1.",
)
@click.option(
    "--model",
    "models",
    metavar="STEP=MODEL",
    multiple=True,
    callback=models_option,
    help="Run this step with another model; assess[1]=MODEL changes the second model of a step of several models.",
)
@database.options
def command(
    selected: selection.Selection,
    from_step: str | None,
    attempts: int | None,
    models: dict[str, str],
    dsn: str | None,
    prefix: str,
) -> None:
    """Run all cancelled and discarded steps again. Stored results stay.

    With --from, that step and everything downstream of it run again, even if they completed, and their results are
    deleted. Workflows in which one of these steps is running, or no longer has a job, are left alone.

    \b
    Examples:
      baton retry 01932c07
      baton retry 01932c07 --attempts 3
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
            done = retry_sync(where, WorkflowFilter(ids=chosen), from_step=from_step, attempts=attempts, models=models)
            if not done.ids:
                workflow.sync.retry(from_step, attempts=attempts, models=models)  # its error says why it can't
                done = replace(done, ids=chosen)
            if any(node.step == from_step and node.state == "cancelled" for node in workflow.sync.nodes()):
                terminal.echo(workflow.sync.why(from_step), err=True)
                terminal.echo("  help: without --from, every failed step runs again, its upstreams too", err=True)
        else:
            done = retry_sync(where, WorkflowFilter(ids=chosen), from_step=from_step, attempts=attempts, models=models)
    selection.tell("retried", done.ids)
    if done.steps:
        terminal.echo(_given(done), err=True)
    if len(done.ids) < len(chosen):
        left = selection.counted(len(chosen) - len(done.ids))
        terminal.echo(f"left {left} alone: a step is running, has no job any more, or does not exist", err=True)


def _given(done: Retried) -> str:
    """How many attempts the steps get that have had attempts before."""
    who = f"{done.steps:,} steps that were attempted before get"
    if done.steps == 1:
        who = "1 step that was attempted before gets"
    if done.fewest < done.most:
        return f"{who} {done.fewest:,} to {done.most:,} attempts each"
    each = "" if done.steps == 1 else " each"
    return f"{who} {done.most:,} attempt{'' if done.most == 1 else 's'}{each}"
