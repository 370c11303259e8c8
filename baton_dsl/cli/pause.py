"""`baton pause`: let nothing of workflows start."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating import Action, Which, operate_sync


@click.command("pause")
@selection.many
@database.options
def command(
    ids: tuple[str, ...], common: selection.Conditions, yes: bool, dry_run: bool, dsn: str | None, prefix: str
) -> None:
    """Let no step of workflows start until baton resume. What runs goes on.

    \b
    Examples:
      baton pause 01932c07
      baton pause --flow billing
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        chosen = selection.chosen(
            where,
            "pause",
            ids,
            common,
            applies=lambda workflow: workflow.standing in ("running", "stopping"),
            yes=yes,
            dry_run=dry_run,
        )
        selection.tell("paused", operate_sync(where, Action.PAUSE, Which(ids=chosen)))
