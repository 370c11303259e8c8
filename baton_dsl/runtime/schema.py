"""Create, update and remove our tables and functions: from the command line, from Python, or in a migration of Alembic.

The tables come from numbered files that only add, so that code of earlier versions continues to work. Functions and
triggers come from files with their current text, and are replaced if the text differs. See `sql/README.md`.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import class_row, tuple_row

from baton_dsl import extras
from baton_dsl.errors import (
    SchemaBusyError,
    SchemaMissingError,
    SchemaVersionError,
    ServerTooOldError,
    install_remedy,
)
from baton_dsl.runtime import indexes
from baton_dsl.runtime.database import dsn as connection_string
from baton_dsl.runtime.database.prefix import checked_prefix
from baton_dsl.runtime.grants import Grants
from baton_dsl.runtime.sql import pieces, statements
from baton_dsl.runtime.sql.autogenerate import include_name as include_name
from baton_dsl.runtime.sql.autogenerate import include_object as include_object
from baton_dsl.runtime.sql.pieces import OLDEST_POSTGRES as OLDEST_POSTGRES
from baton_dsl.runtime.sql.pieces import VERSION as VERSION

logger = logging.getLogger(__name__)

_ADVISORY: Final = 0x6261746F6E  # "baton": two installs at once take turns
LOCK_TIMEOUT: Final = "300ms"
"""How long an install waits for a lock. Meanwhile, other statements that need the table wait behind it."""
TRIES: Final = 100
"""How often an install tries to get its locks: with the pauses in between, for a minute or two."""
LONGEST_PAUSE: Final = 1.5
"""The most seconds between two tries."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One change that an install would make.

    Attributes:
        kind: `oban` for Oban's tables, `tables` for a numbered file of ours, `function`, `trigger`, or `leftover` for a
            function that is dropped.
        name: The name of the file, or of the function.
        is_there: Whether it exists and is replaced.
    """

    kind: str
    name: str
    is_there: bool

    def __str__(self) -> str:
        match self.kind:
            case "oban":
                return f"create {self.name} of Oban"
            case "tables":
                return f"bring the tables to version {int(self.name)}"
            case "leftover":
                return f"drop the function {self.name}"
            case _:
                return f"{'replace' if self.is_there else 'create'} the {self.kind} {self.name}"

    @property
    def summary(self) -> tuple[str, str]:
        """What an install would do, and to what kind of thing: `("create", "function")`."""
        match self.kind:
            case "oban":
                return "create", "object of Oban"
            case "tables":
                return "bring", "tables"
            case "leftover":
                return "drop", "function"
            case _:
                return "replace" if self.is_there else "create", self.kind


def summed_up(differences: Sequence[Difference]) -> list[str]:
    """The changes in a few lines: the functions and triggers are counted.

    Example:
        >>> summed_up([Difference("function", "baton_end", False), Difference("function", "baton_lives", False)])
        ['create 2 functions']
    """
    counts = Counter(difference.summary for difference in differences)
    lines = [
        f"{verb} {count} {what if count == 1 else what.replace(noun, f'{noun}s', 1)}"
        for (verb, what), count in counts.items()
        if verb != "bring" and (noun := what.partition(" ")[0])
    ]
    versions = [difference for difference in differences if difference.kind == "tables"]
    return [*lines, *map(str, versions[-1:])]


class Operations(Protocol):
    """The part of Alembic's `op` that we use."""

    def execute(self, sqltext: Any, /) -> Any:
        """Run one statement, or print it in offline mode."""


def upgrade_sql(prefix: str = "public", *, until: int = VERSION) -> Iterator[str]:
    """The statements that create or update our tables and functions, to run in one transaction, in order.

    Each checks what has to be done, so they can be run again and change nothing that is up to date. Oban's own tables
    must exist already. `search_path` is restored at the end.

    Args:
        prefix: The schema of Oban's tables.
        until: The version of the tables to reach; default: the one that this library needs.

    Raises:
        PrefixError: BTN410, if the prefix is not allowed.
    """
    yield from _upgrade(checked_prefix(prefix), until)


def _upgrade(prefix: str, until: int = VERSION, only: Sequence[Difference] | None = None) -> Iterator[str]:
    with_path = _with_search_path("pg_catalog")
    yield next(with_path)
    yield "SELECT set_config('check_function_bodies', 'off', true)"  # functions name each other, in any order
    yield f"SELECT pg_advisory_xact_lock({_ADVISORY})"
    names = None if only is None else {(each.kind, each.name) for each in only}
    yield from pieces.upgrading(prefix, until, names)
    yield from with_path


def downgrade_sql(prefix: str = "public") -> Iterator[str]:
    """The statements that remove everything that `upgrade_sql` created, including the results of all workflows."""
    own = f"{checked_prefix(prefix)}."
    yield from (f"DROP TRIGGER IF EXISTS {name} ON {own}{table}" for name, table in pieces.triggers().items())
    yield f"DROP FUNCTION IF EXISTS {own}{f', {own}'.join(pieces.functions())}"
    yield f"DROP TABLE IF EXISTS {own}{f', {own}'.join(pieces.tables())}"


def upgrade(op: Operations, *, prefix: str = "public") -> None:
    """Create or update our tables in an Alembic migration, online or offline. Oban's tables must exist already.

    Args:
        op: Alembic's `op`.
        prefix: The schema of Oban's tables.

    Example:
        ```python
        from alembic import op
        from baton_dsl.runtime import schema
        from oban.schema import install_sql, uninstall_sql

        def upgrade() -> None:
            op.execute(install_sql())
            schema.upgrade(op)

        def downgrade() -> None:
            schema.downgrade(op)
            op.execute(uninstall_sql())
        ```
    """
    for statement in upgrade_sql(prefix):
        op.execute(_literal(statement))


def downgrade(op: Operations, *, prefix: str = "public") -> None:
    """Remove our tables, with the results of all workflows, in an Alembic migration. Oban's tables stay."""
    for statement in downgrade_sql(prefix):
        op.execute(_literal(statement))


def install(dsn: str, prefix: str = "public", *, grants: Grants | None = None) -> None:
    """Create or update Oban's tables and ours in a database. Running it again changes nothing.

    It may run while workers are busy. It first builds new indexes of existing tables, while others write. After that,
    it waits for a lock only for a moment, because later statements would wait behind it. If it does not get the lock,
    it rolls back and tries again.

    Args:
        dsn: A PostgreSQL connection string.
        prefix: The schema; created if it does not exist.
        grants: Roles that get privileges.

    Raises:
        PrefixError: BTN410, if the prefix is not allowed.
        ServerTooOldError: BTN418, if the server is older than PostgreSQL 14.
        SchemaBusyError: BTN419, if other transactions keep using the tables.
        ConnectionStringError: BTN421, if the connection string can't be read.
    """
    checked_prefix(prefix)
    with psycopg.connect(connection_string.read(dsn), autocommit=True) as conn:
        _check_server(conn)
        indexes.build(conn, prefix)
    for number in range(TRIES):
        try:
            with psycopg.connect(connection_string.read(dsn)) as conn:
                # If two installs run at once, the second must see what the first has done.
                conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                conn.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY})")
                conn.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                install_on(conn, prefix, grants=grants)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if number == TRIES - 1:
                raise SchemaBusyError(f'the tables in the schema "{prefix}" are in use: {_line(error)}') from error
            logger.info("the tables are in use, the install tries again: %s", _line(error))
            time.sleep(min(LONGEST_PAUSE, 0.05 * 2.0**number) * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
        else:
            return


def install_on(conn: psycopg.Connection[Any], prefix: str = "public", *, grants: Grants | None = None) -> None:
    """As `install`, but on an open connection, in its transaction and with its `lock_timeout`."""
    checked_prefix(prefix)
    _check_server(conn)
    conn.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY})")
    for statement in _statements(conn, prefix, pending=None):
        conn.execute(_query(statement))
    for statement in grants.statements(prefix) if grants else ():
        conn.execute(_query(statement))


def differences(conn: psycopg.Connection[Any], prefix: str = "public") -> list[Difference]:
    """What an install would change. Empty if there is nothing to do.

    Args:
        conn: A connection; its transaction, if any, stays open.
        prefix: The schema.

    Raises:
        PrefixError: BTN410, if the prefix is not allowed.
        ServerTooOldError: BTN418, if the server is older than PostgreSQL 14.
    """
    checked_prefix(prefix)
    _check_server(conn)
    with conn.transaction():
        missing = [Difference("oban", name, is_there=False) for name in _missing_of_oban(conn, prefix)]
        if _is_there(conn, f"{prefix}.baton_migrations") and not missing:
            path = _with_search_path("pg_catalog")
            conn.execute(_query(next(path)))
            cursor = conn.cursor(row_factory=class_row(Difference))
            found = cursor.execute(_query(pieces.differing(prefix))).fetchall()
            conn.execute(_query(next(path)))
            return found
        return [
            *missing,
            *(Difference("tables", name, is_there=False) for name in pieces.versions()),
            *(Difference("function", name, is_there=False) for name in pieces.functions()),
            *(Difference("trigger", name, is_there=False) for name in pieces.triggers()),
        ]


def dry_run(conn: psycopg.Connection[Any], prefix: str = "public", *, grants: Grants | None = None) -> list[str]:
    """The statements that an install would run, for psql or for a review. Empty if there is nothing to do."""
    pending = differences(conn, prefix)
    statements = list(_statements(conn, prefix, pending)) if pending else []
    return statements + (grants.statements(prefix) if grants else [])


def _statements(conn: psycopg.Connection[Any], prefix: str, pending: Sequence[Difference] | None) -> Iterator[str]:
    """The statements that bring a schema up to date: all that may be needed, or only the pending ones."""
    if not _rows(conn, "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", prefix):
        yield f"CREATE SCHEMA {prefix}"  # IF NOT EXISTS needs a privilege even if it exists
    if _missing_of_oban(conn, prefix):
        path = _with_search_path(prefix)
        yield next(path)
        yield _oban_sql(prefix)
        yield from path
    yield from _upgrade(prefix, only=pending)


_OF_OBAN: Final = re.compile(
    r"CREATE (?:UNLOGGED )?(?:TABLE|INDEX) IF NOT EXISTS (?:\w+\.)?(\w+)|FUNCTION (?:\w+\.)?(\w+)\("
)


def _missing_of_oban(conn: psycopg.Connection[Any], prefix: str) -> list[str]:
    """What Oban's own statements would create.

    They are run only if something is missing, because they take locks that block every write to its tables, and need
    the privileges of the owner.
    """
    names = [table or function for table, function in _OF_OBAN.findall(_oban_sql(prefix))]
    missing: list[str] = [
        row[0]
        for row in _rows(
            conn,
            """
            SELECT name
            FROM pg_catalog.unnest(%s::text[]) AS name
            WHERE NOT EXISTS (
                SELECT FROM pg_catalog.pg_class AS home
                JOIN pg_catalog.pg_namespace AS place ON place.oid = home.relnamespace
                WHERE place.nspname = %s AND home.relname = name
            )
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_proc AS own
                JOIN pg_catalog.pg_namespace AS place ON place.oid = own.pronamespace
                WHERE place.nspname = %s AND own.proname = name
            )
            """,
            names,
            prefix,
            prefix,
        )
    ]
    states = _rows(
        conn,
        "SELECT FROM pg_catalog.pg_enum AS state WHERE enumlabel = 'suspended' "
        "AND enumtypid = pg_catalog.to_regtype(%s)",
        f"{prefix}.oban_job_state",
    )
    return missing if states else [*missing, 'the state "suspended"']


def _is_there(conn: psycopg.Connection[Any], name: str) -> bool:
    return bool(_rows(conn, "SELECT WHERE pg_catalog.to_regclass(%s) IS NOT NULL", name))


def _rows(conn: psycopg.Connection[Any], query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
    return conn.cursor(row_factory=tuple_row).execute(query, values).fetchall()


def _check_server(conn: psycopg.Connection[Any]) -> None:
    major = conn.info.server_version // 10_000
    if major < OLDEST_POSTGRES:
        raise ServerTooOldError(f"PostgreSQL {major} is too old: {OLDEST_POSTGRES} or newer is needed")


def _oban_sql(prefix: str) -> LiteralString:
    """The statements that create Oban's tables. Oban comes with an extra, so it may not be installed."""
    with extras.needed():
        from oban.schema import install_sql
    return install_sql(prefix)


_OURS: Final = re.compile(r"baton_|workflow_nodes|oban_|schema")
"""Names in the error message if something of ours is missing, and not something that a user's trigger needs."""


def installed_version(conn: psycopg.Connection[Any], prefix: str) -> int:
    """The version of our tables in a schema.

    Raises:
        psycopg.Error: If they do not exist.
    """
    cursor = psycopg.Cursor(conn, row_factory=tuple_row)
    row = cursor.execute(
        statements.statement("SELECT coalesce(max(version), 0) FROM baton.baton_migrations", prefix)
    ).fetchone()
    return int(row[0]) if row else 0


def explain_missing(error: psycopg.Error, prefix: str) -> SchemaMissingError | SchemaVersionError | None:
    """Turn an error of PostgreSQL into one about our schema; None if it is about something else.

    If a function, a type or a table does not exist, nothing is installed. If the schema is too old, the SQL function
    raises a code of our own.
    """
    match error.sqlstate:
        case "BT405":
            return SchemaVersionError(str(error.diag.message_primary), remedy=install_remedy(prefix))
        case "42704" | "42883" | "42P01" | "3F000" if _OURS.search(error.diag.message_primary or ""):
            return SchemaMissingError.in_schema(prefix)
        case _:
            return None


def _with_search_path(path: str) -> Iterator[str]:
    """A statement that sets `search_path` for the transaction, and one that restores it."""
    yield (
        "SELECT set_config('baton_dsl.search_path', current_setting('search_path'), true), "
        f"set_config('search_path', '{path}, pg_temp', true)"
    )
    yield "SELECT set_config('search_path', current_setting('baton_dsl.search_path'), true)"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _query(statement: LiteralString) -> sql.SQL:
    # Our own files, and a prefix that has been checked.
    return sql.SQL(statement)


def _literal(statement: str) -> str:
    """Escape a statement for SQLAlchemy's text(), where a colon before a name marks a parameter."""
    return statement.replace(":", "\\:")
