"""Build the indexes of an upgrade while others write: within its transaction, each would stop all inserts meanwhile."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from baton_dsl.errors import SchemaBusyError
from baton_dsl.runtime.database.pooling import is_direct
from baton_dsl.runtime.sql import pieces
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)

PATIENCE: Final = "2min"
"""How long the build of an index waits for transactions that began before it. Nothing waits behind it."""
PAUSE: Final = 0.2
"""Seconds between two looks whether another install has built its indexes."""

_SETTINGS: Final = "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', %s, false)"
_TURN: Final = f"SELECT pg_try_advisory_lock({0x626174696E})"  # "batin": who waited in a statement would be waited for
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM baton.baton_migrations"

# Only of tables that are there: on a fresh schema, an index is made together with its table.
_MISSING: Final = """
SELECT asked.name, own.indisvalid IS NOT NULL AS is_broken
FROM unnest(%(names)s::text[], %(tables)s::text[]) WITH ORDINALITY AS asked(name, home, number)
LEFT JOIN pg_catalog.pg_index AS own ON own.indexrelid = to_regclass(%(prefix)s || '.' || asked.name)
WHERE to_regclass(%(prefix)s || '.' || asked.home) IS NOT NULL AND own.indisvalid IS NOT TRUE
ORDER BY asked.number
"""


def build(conn: psycopg.Connection[Any], prefix: str) -> None:
    """Build the indexes that an upgrade adds to tables that are there, one after another.

    What an install does in its transaction then finds them. An index of a column that the same upgrade adds is left to
    that transaction, and behind a pooler all are. One that somebody has dropped since stays away.

    Args:
        conn: A connection in autocommit mode, which is closed afterwards.
        prefix: The schema.

    Raises:
        SchemaBusyError: BTN419, if a transaction that began before the build does not end.
    """
    if not is_direct(conn):  # a lock that it takes may stay with a stranger
        return
    indexes = pieces.indexes()
    values = {"names": list(indexes), "tables": [index.table for index in indexes.values()], "prefix": prefix}
    cursor = conn.cursor(row_factory=tuple_row)
    cursor.execute(_SETTINGS, [PATIENCE])
    while cursor.execute(_TURN).fetchone() == (False,):
        time.sleep(PAUSE)
    left: set[str] = set()
    while rows := cursor.execute(_MISSING, values).fetchall():
        (installed,) = cursor.execute(statement(_VERSION, prefix)).fetchone() or (0,)
        wanted = [row for row in rows if row[0] not in left and (row[1] or indexes[row[0]].version > installed)]
        if not wanted:
            return
        name, is_broken = wanted[0]
        if is_broken:  # by a build that was broken off: it is kept up to date, and serves nobody
            _run(conn, name, f"DROP INDEX CONCURRENTLY IF EXISTS baton.{name}", prefix)
        elif not _run(conn, name, indexes[name].concurrently, prefix):
            left.add(name)


def _run(conn: psycopg.Connection[Any], name: str, text: str, prefix: str) -> bool:
    """Build or drop an index; False if it can't be built yet."""
    logger.info("%s", text.partition(" ON ")[0])
    try:
        conn.execute(statement(text, prefix))
    except psycopg.errors.UndefinedColumn:
        return False
    except psycopg.errors.DeadlockDetected as error:  # with another install, which goes on: it is tried again
        logger.info("the index %s is tried again: %s", name, error)
    except psycopg.errors.LockNotAvailable as error:
        raise SchemaBusyError(
            f'the index "{name}" can\'t be built: a transaction that began before it does not end'
        ) from error
    return True
