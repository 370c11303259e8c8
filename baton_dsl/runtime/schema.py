"""Our tables and functions: versions, each a folder of SQL that may run again, in any schema.

No SQL text is edited. The statements are written without a schema; they run with `search_path` set to the prefix, and
the functions keep it (`SET search_path FROM CURRENT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, LiteralString, Protocol

import psycopg
from psycopg import sql

from baton_dsl import extras
from baton_dsl.errors import SchemaMissingError, SchemaVersionError
from baton_dsl.runtime.prefix import checked_prefix

VERSION: Final = 1
"""The version of the schema that this library needs."""

_SCRIPTS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "0001_tables.sql",
        "0001_insert.sql",
        "0001_settling.sql",
        "0001_following.sql",
        "0001_reviving.sql",
        "0001_maps.sql",
        "0001_ending.sql",
        "0001_orphans.sql",
        "0001_operating.sql",
        "0001_triggers.sql",
    )
}

_DOWN: Final = (
    "DROP TRIGGER IF EXISTS baton_job_changed ON oban_jobs",
    "DROP TRIGGER IF EXISTS baton_job_deleted ON oban_jobs",
    "DROP TRIGGER IF EXISTS baton_producers_changed ON oban_producers",
    "DROP FUNCTION IF EXISTS baton_stop, baton_rearm, baton_retry, baton_retry_from, baton_pause, baton_resume",
    "DROP FUNCTION IF EXISTS baton_prune",
    "DROP FUNCTION IF EXISTS baton_producers_changed, baton_rescue, baton_guard, baton_lives, baton_producer_key",
    "DROP FUNCTION IF EXISTS baton_announce, baton_begin_hook, baton_tell",
    (
        "DROP FUNCTION IF EXISTS baton_job_changed, baton_return, baton_revive, baton_cancel_jobs, baton_end, "
        "baton_recount, baton_waits, baton_permits, baton_start, baton_follow, baton_reach, baton_entries, "
        "baton_collections, baton_expand, baton_conclude, baton_release, baton_collect, baton_spread, baton_promote, "
        "baton_park, baton_settle, baton_error, baton_insert"
    ),
    "DROP TABLE IF EXISTS baton_suspects, workflow_nodes, baton_flows, baton_workflows, baton_migrations",
)

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


_FUNCTION: Final = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)\(.*?AS \$function\$(.*?)\$function\$", re.M | re.S)
_TRIGGER: Final = re.compile(r"^CREATE OR REPLACE TRIGGER (\w+)\n.*? ON (\w+)$", re.M)


def parts() -> Parts:
    """What `install` makes, as the scripts say it."""
    text = "\n".join(_read(script) for scripts in _SCRIPTS.values() for script in scripts)
    return Parts(dict(_FUNCTION.findall(text)), dict(_TRIGGER.findall(text)))


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
    yield f"SELECT pg_advisory_xact_lock({_ADVISORY})"
    for version, scripts in _SCRIPTS.items():
        if since < version <= until:
            for script in scripts:
                yield _read(script)
            yield f"INSERT INTO baton_migrations (version) VALUES ({version}) ON CONFLICT DO NOTHING"  # noqa: S608
    yield from with_path


def downgrade_sql(prefix: str = "public") -> Iterator[str]:
    """The statements that remove all that `upgrade_sql` made, with every workflow's results."""
    with_path = _with_search_path(checked_prefix(prefix))
    yield next(with_path)
    yield from _DOWN
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
    """
    checked_prefix(prefix)
    with psycopg.connect(dsn) as conn:
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
            return SchemaVersionError(str(error.diag.message_primary))
        case "42883" | "42P01" | "3F000":
            return SchemaMissingError(f'baton-dsl is not installed in the schema "{prefix}"')
        case _:
            return None


def _with_search_path(prefix: str) -> Iterator[str]:
    """One statement that sets `search_path` to a schema for the transaction, and one that sets it back."""
    yield (
        "SELECT set_config('baton.search_path', current_setting('search_path'), true), "
        f"set_config('search_path', '{prefix}, pg_temp', true)"
    )
    yield "SELECT set_config('search_path', current_setting('baton.search_path'), true)"


def _read(script: str) -> str:
    return files("baton_dsl.runtime.sql").joinpath(script).read_text(encoding="utf-8")


def _query(statement: LiteralString) -> sql.SQL:
    # Our own files, and a prefix that has been checked.
    return sql.SQL(statement)


def _literal(statement: str) -> str:
    """A statement for SQLAlchemy's text(), which takes a colon before a name for a parameter."""
    return statement.replace(":", "\\:")
