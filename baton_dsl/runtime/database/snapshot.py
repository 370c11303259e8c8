"""Run several queries in one snapshot. A reading is written once, for async and sync code."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.sql.statements import statement

type Row = dict[str, Any]
type Query = tuple[LiteralString | sql.SQL | sql.Composed, Mapping[str, Any]]
type Reading[T] = Generator[Query, list[Row], T]
"""A generator that yields queries with their parameters, receives the rows, and returns a value made of them.

Its queries write `baton.` for the schema, as the SQL files do; no other name is looked up in the schema.

Example:
    ```python
    def how_many(label: str) -> Reading[int]:
        query = "SELECT count(*) AS n FROM baton.baton_workflows WHERE workflow_label = %(label)s"
        (row,) = yield query, {"label": label}
        return row["n"]

    await read(database, how_many("billing"))
    ```
"""


async def read[T](database: Database, reading: Reading[T], conn: psycopg.AsyncConnection[Any] | None = None) -> T:
    """Run a reading.

    Args:
        database: Where.
        reading: What to read.
        conn: A connection that is open already and in no transaction, if there is one.
    """
    async with database.snapshot(conn) as conn:
        cursor = conn.cursor(row_factory=dict_row, binary=True)
        rows: list[Row] | None = None
        while True:
            try:
                text, values = next(reading) if rows is None else reading.send(rows)
            except StopIteration as done:
                result: T = done.value
                return result
            rows = await (await cursor.execute(statement(text, database.prefix), values)).fetchall()


def read_sync[T](database: Database, reading: Reading[T]) -> T:
    """As `read`, for sync code."""
    with database.sync_connection() as conn:
        return read_on(conn, database, reading)


def read_on[T](conn: psycopg.Connection[Any], database: Database, reading: Reading[T]) -> T:
    """As `read`, on an open connection that is not in a transaction."""
    with database.sync_snapshot(conn):
        cursor = conn.cursor(row_factory=dict_row, binary=True)
        rows: list[Row] | None = None
        while True:
            try:
                text, values = next(reading) if rows is None else reading.send(rows)
            except StopIteration as done:
                result: T = done.value
                return result
            rows = cursor.execute(statement(text, database.prefix), values).fetchall()
