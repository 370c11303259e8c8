"""`baton list`: a table of workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection, table, terminal
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.listing import workflows
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter


@click.command("list")
@selection.conditions
@click.option(
    "--most", "-n", type=click.IntRange(1), default=50, show_default=True, help="How many workflows to list at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.option("--utc", "in_utc", is_flag=True, help="Show when each was inserted, in UTC, instead of its age.")
@database.options
def command(common: selection.Conditions, most: int, as_json: bool, in_utc: bool, dsn: str | None, prefix: str) -> None:
    """List workflows, newest first. Every condition must match.

    An id is shortened to the characters that make it unique; every command accepts the short form. A workflow is stuck
    if it can't progress without help, for example because no node runs its queue. baton why explains what it waits for.

    \b
    Examples:
      baton list --stuck
      baton list --running --older-than 1h
      baton list --flow billing --outcome discarded --json
    """
    with database.opened(dsn, prefix) as target:
        which = WorkflowFilter(**common.given) if common.given else None
        found = read_sync(selection.database_of(target), workflows(which, most=most + 1))
    shown = found[:most]
    if as_json:
        terminal.echo_json(shown)
    elif shown:
        terminal.echo_coloured(table.of_workflows(shown, width=terminal.width(), in_utc=in_utc))
    else:
        terminal.echo("No workflow matches." if common.given else "There are no workflows.", err=True)
    if len(found) > most:
        terminal.echo(f"There are more than these {most:,}; list them with --most.", err=True)
