"""Our tables and functions: numbered files of tables, and a file a function that always holds its current text.

No SQL text is edited. The statements are written without a schema; they run with `search_path` set to the prefix, and
the functions keep it (`SET search_path FROM CURRENT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, LiteralString, Protocol

import psycopg
from psycopg import sql

from baton_dsl import extras
from baton_dsl.errors import SchemaMissingError, SchemaVersionError, install_remedy
from baton_dsl.runtime import dsn as connection_string
from baton_dsl.runtime.autogenerate import include_name as include_name
from baton_dsl.runtime.autogenerate import include_object as include_object
from baton_dsl.runtime.prefix import checked_prefix

_SQL: Final = files("baton_dsl.runtime.sql")


def _names(folder: str) -> list[str]:
    """The names of the files of a folder of SQL, in order."""
    found = (each.name for each in _SQL.joinpath(folder).iterdir())
    return sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql"))


@cache
def _texts(folder: str) -> Mapping[str, str]:
    """The files of a folder of SQL by their names, in order."""
    return {name: _SQL.joinpath(folder, f"{name}.sql").read_text("utf-8") for name in _names(folder)}


VERSION: Final = max(map(int, _names("tables")))
"""The version of the schema that this library needs: the number of the last file in `sql/tables`."""

_ADVISORY: Final = 0x6261746F6E  # "baton": two installs at once take turns


@dataclass(frozen=True, slots=True)
class Parts:
    """What an installed schema consists of besides its tables.

    Attributes:
        functions: The body of each function by its name.
        triggers: The table of each trigger by its name.
    """

    functions: Mapping[str, str]
    triggers: Mapping[str, str]


_BODY: Final = re.compile(r"AS \$function\$(.*?)\$function\$", re.DOTALL)
_MADE: Final = re.compile(r"^CREATE (?:UNLOGGED )?TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_TABLE: Final = re.compile(r"^.*? ON (\w+)$", re.MULTILINE)


def parts() -> Parts:
    """What `install` makes, as the files say it."""
    return Parts(
        {name: _found(_BODY, text) for name, text in _texts("functions").items()},
        {name: _found(_TABLE, text) for name, text in _texts("triggers").items()},
    )


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None
    return match[1]


class Operations(Protocol):
    """What we use of Alembic's `op`."""

    def execute(self, sqltext: Any, /) -> Any:
        """Run, or in offline mode print, one statement."""


def upgrade_sql(prefix: str = "public", *, since: int = 0, until: int = VERSION) -> Iterator[str]:
    """The statements that bring a schema of version `since` to `until`, to run in one transaction, in order.

    Oban's own tables must be there already. `search_path` is as before afterwards.

    Args:
        prefix: The schema of Oban's tables.
        since: The version to start from; statements that were run before change nothing.
        until: The version to reach; default: the one that this library needs.

    Raises:
        PrefixError: BTN410, if the prefix can't be used.
    """
    with_path = _with_search_path(checked_prefix(prefix))
    yield next(with_path)
    yield "SELECT set_config('check_function_bodies', 'off', true)"  # they name each other
    yield f"SELECT pg_advisory_xact_lock({_ADVISORY})"
    for name, text in _texts("tables").items():
        if since < int(name) <= until:
            yield text
            yield f"INSERT INTO baton_migrations (version) VALUES ({int(name)}) ON CONFLICT DO NOTHING"  # noqa: S608
    yield from _texts("functions").values()
    yield from _texts("triggers").values()
    yield from with_path


def downgrade_sql(prefix: str = "public") -> Iterator[str]:
    """The statements that remove all that `upgrade_sql` made, with every workflow's results."""
    with_path = _with_search_path(checked_prefix(prefix))
    yield next(with_path)
    yield from (f"DROP TRIGGER IF EXISTS {name} ON {table}" for name, table in parts().triggers.items())
    yield f"DROP FUNCTION IF EXISTS {', '.join(_names('functions'))}"
    yield f"DROP TABLE IF EXISTS {', '.join(_MADE.findall(''.join(_texts('tables').values())))}"
    yield from with_path


def upgrade(op: Operations, *, prefix: str = "public") -> None:
    """Create or update our tables from an Alembic migration, online or offline. Oban's tables come first.

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
    """Remove our tables, with every workflow's results, from an Alembic migration; Oban's tables stay."""
    for statement in downgrade_sql(prefix):
        op.execute(_literal(statement))


def install(dsn: str, prefix: str = "public") -> None:
    """Create or update Oban's tables and ours in a database. Running it again changes nothing.

    Args:
        dsn: A PostgreSQL connection string.
        prefix: The schema; it is created if it is not there.

    Raises:
        PrefixError: BTN410, if the prefix can't be used.
        ConnectionStringError: BTN421, if the connection string can't be read.
    """
    checked_prefix(prefix)
    with psycopg.connect(connection_string.read(dsn)) as conn:
        install_on(conn, prefix)


def install_on(conn: psycopg.Connection[Any], prefix: str = "public") -> None:
    """As `install`, on a connection, in its transaction."""
    path = _with_search_path(checked_prefix(prefix))
    conn.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY})")
    conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(prefix)))
    conn.execute(_query(next(path)))
    conn.execute(_query(_oban_sql(prefix)))
    for statement in path:
        conn.execute(_query(statement))
    for statement in upgrade_sql(prefix):
        conn.execute(_query(statement))


def _oban_sql(prefix: str) -> LiteralString:
    """The statements that create Oban's tables. Oban comes with an extra: who only inserts does not have it."""
    with extras.needed():
        from oban.schema import install_sql
    return install_sql(prefix)


def explain_missing(error: psycopg.Error, prefix: str) -> SchemaMissingError | SchemaVersionError | None:
    """What an error of PostgreSQL says about our schema; None if it says nothing.

    A function or table that is not there means that nothing is installed; a version that the function itself refuses
    has a code of our own.
    """
    match error.sqlstate:
        case "BT405":
            return SchemaVersionError(str(error.diag.message_primary), remedy=install_remedy(prefix))
        case "42883" | "42P01" | "3F000":
            return SchemaMissingError.in_schema(prefix)
        case _:
            return None


def _with_search_path(prefix: str) -> Iterator[str]:
    """One statement that sets `search_path` to a schema for the transaction, and one that sets it back."""
    yield (
        "SELECT set_config('baton.search_path', current_setting('search_path'), true), "
        f"set_config('search_path', '{prefix}, pg_temp', true)"
    )
    yield "SELECT set_config('search_path', current_setting('baton.search_path'), true)"


def _query(statement: LiteralString) -> sql.SQL:
    # Our own files, and a prefix that has been checked.
    return sql.SQL(statement)


def _literal(statement: str) -> str:
    """A statement for SQLAlchemy's text(), which takes a colon before a name for a parameter."""
    return statement.replace(":", "\\:")
