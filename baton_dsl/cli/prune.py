"""`baton prune`: remove workflows that ended long ago."""

from __future__ import annotations

from datetime import timedelta

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.ages import AGE
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.listing import count
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import old_captures, prune_captures_sync, prune_sync


@click.command("prune")
@click.option(
    "--older-than",
    type=AGE,
    metavar="AGE",
    required=True,
    help="Remove workflows that ended longer ago than this, such as 12h or 30d.",
)
@click.option(
    "--captures", is_flag=True, help="Remove only the exchanges that debug=True captured; keep the workflows."
)
@click.option("--yes", "-y", is_flag=True, help="Don't ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Only say how many workflows would be removed.")
@database.options
def command(older_than: timedelta, captures: bool, yes: bool, dry_run: bool, dsn: str | None, prefix: str) -> None:
    """Remove workflows that ended long ago, with their results. Running workflows are never removed.

    Oban prunes their jobs. A worker with --retain removes old workflows by itself.

    \b
    Examples:
      baton prune --older-than 30d --yes
      baton prune --older-than 7d --captures
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        if captures:
            _prune_captures(where, older_than, is_dry=dry_run)
            return
        old = read_sync(where, count(WorkflowFilter(settled_before=older_than)))
        if dry_run:
            terminal.echo(f"Without --dry-run, it would prune {selection.counted(old)}.", err=True)
            return
        if old and not yes:
            if not selection.is_asked():
                raise click.UsageError(f"to prune {selection.counted(old)} without a question, add --yes")
            click.confirm(f"Prune {selection.counted(old)}, with all their results?", abort=True, err=True)
        terminal.echo(f"pruned {selection.counted(prune_sync(where, older_than))}")


def _prune_captures(where: Database, older_than: timedelta, *, is_dry: bool) -> None:
    if is_dry:
        count_of_old = read_sync(where, old_captures(older_than))
        terminal.echo(f"Without --dry-run, it would prune {count_of_old:,} captures.", err=True)
        return
    terminal.echo(f"pruned {prune_captures_sync(where, older_than):,} captures")
