"""`baton install`: the tables."""

from __future__ import annotations

import click

from baton_dsl.cli import database, terminal
from baton_dsl.runtime import schema


@click.command("install")
@database.options
def command(dsn: str | None, prefix: str) -> None:
    """Create or update the tables of Oban and of baton-dsl.

    Running it again changes nothing. To have it in your own migrations instead, call
    baton_dsl.runtime.schema.upgrade(op) in one of Alembic's.
    """
    with database.opened(dsn, prefix) as target:
        schema.install(target.dsn, target.prefix)
    where = "the embedded PostgreSQL in .baton/" if target.is_embedded else "the database"
    terminal.echo(f"The schema {prefix!r} of {where} is up to date.")
