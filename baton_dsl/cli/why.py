"""`baton why`: what a workflow or step is waiting for, or why it ended."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.runtime.workflow import Workflow


@click.command("why")
@click.argument("workflow_id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@database.options
def command(workflow_id: str, step: str | None, dsn: str | None, prefix: str) -> None:
    """Explain in one sentence what a workflow or step is waiting for, or why it ended.

    \b
    Example:
      baton why 01932c07 report
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        workflow = Workflow(selection.full_id(where, workflow_id), database=where)
        terminal.echo(workflow.sync.why(step))
