"""Roles for one test. Roles belong to the whole server, so they get unique names and are dropped afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo


@contextmanager
def role(dsn: str, kind: str) -> Iterator[str]:
    """A role that may log in and is nothing else; the name begins with its kind.

    Args:
        dsn: A database, as a superuser; what the role has been given in it is taken back at the end.
        kind: What the name begins with.

    Yields:
        The connection string of the database for that role.
    """
    name, password = f"{kind}_{token_hex(4)}", token_hex(16)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
        try:
            yield make_conninfo(dsn, user=name, password=password)
        finally:
            conn.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
            database = sql.Identifier(conn.info.dbname)
            conn.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(database))
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def user_of(dsn: str) -> str:
    """Whose connection string it is."""
    return psycopg.conninfo.conninfo_to_dict(dsn)["user"]  # type: ignore[return-value]


def may(dsn: str, statement: str, values: Any = None) -> bool:
    """Whether the role may run a statement; nothing of it stays."""
    with psycopg.connect(dsn) as conn:
        try:
            conn.execute(statement.encode(), values)
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            conn.rollback()
    return True
