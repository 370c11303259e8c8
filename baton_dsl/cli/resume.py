"""`baton resume`: resume paused workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating.actions import Action


@click.command("resume")
@selection.many
@database.options
def command(selected: selection.Selection, dsn: str | None, prefix: str) -> None:
    """Resume paused workflows.

    \b
    Examples:
      baton resume 01932c07
      baton resume --flow billing
    """
    with database.opened(dsn, prefix) as target:
        selection.operate(
            selection.database_of(target),
            Action.RESUME,
            "resumed",
            selected,
            applies=lambda workflow: workflow.is_paused,
        )
