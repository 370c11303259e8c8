"""`baton why`: what a workflow or step is waiting for, or why it ended."""

from __future__ import annotations

from datetime import UTC

import click

from baton_dsl.cli import database, moments, selection, terminal
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.why_facts import explain


@click.command("why")
@click.argument("workflow_id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the sentence in a JSON object.")
@moments.utc
@database.options
def command(workflow_id: str, step: str | None, as_json: bool, in_utc: bool, dsn: str | None, prefix: str) -> None:
    """Explain in one sentence what a workflow or step is waiting for, or why it ended.

    \b
    Example:
      baton why 01932c07 report
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        found_id = selection.full_id(where, workflow_id)
        why = read_sync(where, explain(found_id, step, zone=UTC if in_utc else None))
    if as_json:
        terminal.echo_json({"workflow_id": found_id, "step": step, "why": why})
    else:
        terminal.echo(why)
