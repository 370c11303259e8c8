"""Databases for tests: one that a test has left as it was, but for rows, is emptied and lent again under another name.

To make a database and to drop it takes PostgreSQL several times as long as to empty one: it copies 300 files, and
writes out all that it holds in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

SPARE = 4
"""Emptied databases that wait for a test."""
LOANS = 20
"""Tests that use a database before it is dropped: what they have deleted stays in its files."""
LARGEST = 512 * 1024
"""Bytes by which its tables may have grown."""

# What a test may change besides rows: each catalog is summed up by the transactions that have written its rows. That of
# tables is changed by PostgreSQL itself too, so there the columns that a test could change are compared.
CATALOGS = (
    *("pg_attrdef", "pg_attribute", "pg_constraint", "pg_default_acl", "pg_event_trigger", "pg_extension", "pg_index"),
    *("pg_namespace", "pg_operator", "pg_policy", "pg_proc", "pg_rewrite", "pg_sequence", "pg_trigger", "pg_type"),
    *("pg_description", "pg_enum", "pg_inherits"),
)
LOOKS = sql.SQL("""
SELECT {catalogs}, (
    SELECT sum(hashtextextended(concat(
        oid, relname, relnamespace, reltype, relowner, relkind, relnatts, relchecks, relhasrules, relhastriggers,
        relrowsecurity, relforcerowsecurity, relacl::text, reloptions::text
    ), 0)) FROM pg_class
), (
    SELECT concat(datdba, datacl::text, datconnlimit) FROM pg_database WHERE datname = current_database()
), (
    SELECT count(*) FROM pg_db_role_setting JOIN pg_database AS own ON own.oid = setdatabase
    WHERE datname = current_database()
), (SELECT array_agg(migration::text) FROM baton_migrations AS migration)
""").format(
    catalogs=sql.SQL(", ").join(
        sql.SQL("(SELECT concat(count(*), ' ', sum(hashint8(xmin::text::int8)::int8)) FROM {})").format(
            sql.Identifier(name)
        )
        for name in CATALOGS
    )
)
SIZE = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
EMPTY = """
SET session_replication_role = replica;
DO $empty$
DECLARE
    own text;
BEGIN
    FOR own IN
        SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'baton_migrations'
    LOOP
        EXECUTE 'DELETE FROM ' || own;
    END LOOP;
    PERFORM setval(oid::regclass, 1, false) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S';
    PERFORM pg_stat_reset();
END
$empty$;
"""
OTHERS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"


class Databases:
    """Lends databases that are copies of a template.

    Args:
        server: Where; the user is a superuser.
        template: The name of a database with Oban's tables and ours, and no rows.
    """

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._conn = psycopg.connect(server, autocommit=True)
        self._loans: dict[str, int] = {}
        self._spare: list[str] = []
        self._fresh: tuple[Any, ...] | None = None
        self._size = 0

    @contextmanager
    def lent(self) -> Iterator[str]:
        """A database equal to the template; returns its connection string."""
        name = self._spare.pop() if self._spare else self._made()
        try:
            yield make_conninfo(self._server, dbname=name)
        finally:
            self._take_back(name)

    def close(self) -> None:
        """Drop the databases that are free."""
        for name in self._spare:
            drop(self._conn, name)
        self._conn.close()

    def _made(self) -> str:
        name = create(self._conn, self._template)
        if self._fresh is None:
            with psycopg.connect(make_conninfo(self._server, dbname=name), autocommit=True) as conn:
                self._fresh, self._size = self._seen(conn)
        self._loans[name] = 0
        return name

    def _take_back(self, name: str) -> None:
        loans = self._loans.pop(name) + 1
        if loans == LOANS or len(self._spare) == SPARE:
            drop(self._conn, name)
        elif emptied := self._emptied(name):
            self._loans[emptied] = loans
            self._spare.append(emptied)

    def _emptied(self, name: str) -> str | None:
        """Rename it, so that former users can't connect; None if it was dropped instead."""
        new = new_name()
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new))
        try:
            while self._conn.execute(OTHERS, [name]).fetchone() != (0,):
                time.sleep(0.002)  # PostgreSQL itself would look again after 100 ms
            self._conn.execute(rename)
        except psycopg.errors.ObjectInUse:  # somebody has connected once more
            drop(self._conn, name)
            return None
        with psycopg.connect(make_conninfo(self._server, dbname=new), autocommit=True) as conn:
            seen, size = self._seen(conn)
            is_clean = seen == self._fresh and size < self._size + LARGEST
            if is_clean:
                conn.execute(EMPTY)
        if not is_clean:
            drop(self._conn, new)
        return new if is_clean else None

    @staticmethod
    def _seen(conn: psycopg.Connection[Any]) -> tuple[tuple[Any, ...] | None, int]:
        with suppress(psycopg.errors.UndefinedTable):  # a test has dropped ours
            (size,) = conn.execute(SIZE).fetchone() or (0,)
            return conn.execute(LOOKS).fetchone(), size or 0
        return None, 0


def new_name() -> str:
    """A name for a database of a test."""
    return f"test_{os.getpid()}_{token_hex(4)}"


def create(conn: psycopg.Connection[Any], template: str) -> str:
    """Make a database from a template; returns its name."""
    name = new_name()
    conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop(conn: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is connected to it."""
    conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
