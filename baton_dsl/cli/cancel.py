"""`baton cancel`: end workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating import Action, Which, operate_sync


@click.command("cancel")
@selection.many
@database.options
def command(
    ids: tuple[str, ...], common: selection.Conditions, yes: bool, dry_run: bool, dsn: str | None, prefix: str
) -> None:
    """Cancel all that has not started of workflows; a running step is told, and not tried again.

    \b
    Examples:
      baton cancel 01932c07
      baton cancel --flow billing --running --older-than 1d
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        chosen = selection.chosen(
            where,
            "cancel",
            ids,
            common,
            applies=lambda workflow: workflow.settled_at is None,
            yes=yes,
            dry_run=dry_run,
        )
        selection.tell("cancelled", operate_sync(where, Action.CANCEL, Which(ids=chosen)))
