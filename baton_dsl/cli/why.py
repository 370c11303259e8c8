"""`baton why`: what a workflow or step is waiting for, or why it ended."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.runtime.workflow import Workflow


@click.command("why")
@click.argument("workflow_id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the sentence in a JSON object.")
@database.options
def command(workflow_id: str, step: str | None, as_json: bool, dsn: str | None, prefix: str) -> None:
    """Explain in one sentence what a workflow or step is waiting for, or why it ended.

    \b
    Example:
      baton why 01932c07 report
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        workflow = Workflow(selection.full_id(where, workflow_id), database=where)
        why = workflow.sync.why(step)
    if as_json:
        terminal.echo_json({"workflow_id": workflow.id, "step": step, "why": why})
    else:
        terminal.echo(why)
