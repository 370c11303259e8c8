"""`baton pause`: pause workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating.actions import Action


@click.command("pause")
@selection.many
@database.options
def command(selected: selection.Selection, dsn: str | None, prefix: str) -> None:
    """Pause workflows: no further step starts until baton resume. Running steps continue.

    \b
    Examples:
      baton pause 01932c07
      baton pause --flow billing
    """
    with database.opened(dsn, prefix) as target:
        selection.operate(
            selection.database_of(target),
            Action.PAUSE,
            "paused",
            selected,
            applies=lambda workflow: workflow.standing in ("running", "stuck", "stopping"),
        )
