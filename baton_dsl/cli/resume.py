"""`baton resume`: end a pause."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating import Action, Which, operate_sync


@click.command("resume")
@selection.many
@database.options
def command(
    ids: tuple[str, ...], common: selection.Conditions, yes: bool, dry_run: bool, dsn: str | None, prefix: str
) -> None:
    """Let workflows go on that were paused.

    \b
    Examples:
      baton resume 01932c07
      baton resume --flow billing
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        chosen = selection.chosen(
            where,
            "resume",
            ids,
            common,
            applies=lambda workflow: workflow.is_paused,
            yes=yes,
            dry_run=dry_run,
        )
        selection.tell("resumed", operate_sync(where, Action.RESUME, Which(ids=chosen)))
