"""`baton install`: create or update the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import psycopg

from baton_dsl.cli import database, terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.runtime import schema
from baton_dsl.runtime.grants import Grants


def _grant(whom: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        f"--grant-{whom}",
        f"grant_{whom}",
        metavar="ROLE",
        multiple=True,
        help=f"Grant ROLE what it needs to {what}. May be used several times.",
    )


@click.command("install")
@database.options
@click.option(
    "--check", is_flag=True, help="Only report what an install would do; exit with 1 if it would do anything."
)
@click.option("--verbose", is_flag=True, help="With --check: list each change, instead of how many of each kind.")
@click.option("--dry-run", is_flag=True, help="Only print the SQL.")
@_grant("worker", "run steps")
@_grant("insert", "insert workflows, and nothing else")
@_grant("operate", "cancel, retry, pause, rerun and prune workflows")
@_grant("read", "read everything and change nothing")
def command(
    dsn: str | None,
    prefix: str,
    *,
    check: bool,
    verbose: bool,
    dry_run: bool,
    grant_worker: tuple[str, ...],
    grant_insert: tuple[str, ...],
    grant_operate: tuple[str, ...],
    grant_read: tuple[str, ...],
) -> int:
    """Create or update the tables of Oban and of baton-dsl.

    Running it again changes nothing. To do this in your own migrations instead, call
    baton_dsl.runtime.schema.upgrade(op) in one of Alembic's.
    """
    grants = Grants(worker=grant_worker, insert=grant_insert, operate=grant_operate, read=grant_read)
    with database.opened(dsn, prefix) as target:
        if check or dry_run:
            with psycopg.connect(target.dsn) as conn:
                conn.read_only = True
                if dry_run:
                    for statement in schema.dry_run(conn, target.prefix, grants=grants):
                        terminal.echo(f"{statement.strip()};")
                    return Exit.DONE
                return _tell(schema.differences(conn, target.prefix), target.prefix, is_short=not verbose)
        schema.install(target.dsn, target.prefix, grants=grants)
    where = "the embedded PostgreSQL in .baton/" if target.is_embedded else "the database"
    terminal.echo(f"The schema {prefix!r} of {where} is up to date.")
    return Exit.DONE


def _tell(differences: list[schema.Difference], prefix: str, *, is_short: bool) -> int:
    if not differences:
        terminal.echo(f"The schema {prefix!r} is up to date: there is nothing to do.")
        return Exit.DONE
    terminal.echo(f"The schema {prefix!r} is not up to date: baton install would")
    for line in schema.summed_up(differences) if is_short else map(str, differences):
        terminal.echo(f"  {line}")
    if is_short:
        terminal.echo(
            "  help: each change: baton install --check --verbose; the SQL: baton install --dry-run", err=True
        )
    return Exit.WRONG
