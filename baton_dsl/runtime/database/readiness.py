"""Check, before workers start, that a database has the tables they need."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from baton_dsl.errors import SchemaMissingError, SchemaVersionError
from baton_dsl.runtime.sql.pieces import VERSION
from baton_dsl.runtime.sql.statements import statement

# Read from the catalogue, where a missing table is not an error, and for which no privileges are needed.
_TABLES: Final = """
SELECT count(*) FILTER (WHERE relname IN ('oban_jobs', 'oban_producers', 'oban_leaders')) = 3,
    count(*) FILTER (WHERE relname = 'baton_migrations') = 1
FROM pg_catalog.pg_class
WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %s) AND relkind IN ('r', 'p')
"""
_VERSION: Final = "SELECT max(version) FROM baton.baton_migrations"
_ELSEWHERE: Final = """
SELECT nspname FROM pg_catalog.pg_namespace
WHERE oid IN (SELECT relnamespace FROM pg_catalog.pg_class WHERE relname = 'baton_migrations' AND relkind = 'r')
ORDER BY nspname
"""


def check(conn: psycopg.Connection[Any], prefix: str) -> None:
    """Check that Oban's tables and ours exist and are new enough.

    Args:
        conn: A connection; nothing is written.
        prefix: The schema.

    Raises:
        SchemaMissingError: BTN404, if they do not exist.
        SchemaVersionError: BTN405, if they are older than this library needs.
    """
    cursor = conn.cursor(row_factory=tuple_row)
    has_oban, has_ours = cursor.execute(_TABLES, [prefix]).fetchone() or (False, False)
    if not (has_oban and has_ours):
        raise missing(conn, prefix)
    (version,) = cursor.execute(statement(_VERSION, prefix)).fetchone() or (None,)
    if (version or 0) < VERSION:
        raise SchemaVersionError.older(prefix, version or 0, VERSION)


def missing(conn: psycopg.Connection[Any], prefix: str) -> SchemaMissingError:
    """The error for missing tables. It names the schemas that do have them."""
    found = conn.cursor(row_factory=tuple_row).execute(_ELSEWHERE).fetchall()
    return SchemaMissingError.in_schema(prefix, elsewhere=[name for (name,) in found if name != prefix])
