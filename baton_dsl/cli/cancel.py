"""`baton cancel`: cancel workflows."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection
from baton_dsl.runtime.operating.actions import Action


@click.command("cancel")
@selection.many
@database.options
def command(selected: selection.Selection, dsn: str | None, prefix: str) -> None:
    """Cancel every step that has not started. Running steps are asked to stop, and are not retried.

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
