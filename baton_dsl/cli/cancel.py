"""`baton cancel`: end workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating.actions import Action


@click.command("cancel")
@selection.many
@database.options
def command(selected: selection.Selection, dsn: str | None, prefix: str) -> None:
    """Cancel all that has not started of workflows; a running step is told, and not tried again.

    \b
    Examples:
      baton cancel 01932c07
      baton cancel --flow billing --running --older-than 1d
    """
    with database.opened(dsn, prefix) as target:
        selection.operate(
            selection.database_of(target),
            Action.CANCEL,
            "cancelled",
            selected,
            applies=lambda workflow: workflow.settled_at is None,
        )
