"""`Database`: where a workflow is stored, and how async and sync code reach it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from baton_dsl.errors import DatabaseNotConfiguredError
from baton_dsl.flow_options import Settings
from baton_dsl.runtime.database import dsn as connection_string
from baton_dsl.runtime.database import instances
from baton_dsl.runtime.database.instances import CHANNEL
from baton_dsl.runtime.database.pooling import is_direct
from baton_dsl.runtime.database.prefix import checked_prefix

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

_SNAPSHOT: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path TO pg_catalog, pg_temp"
)
OPTIONS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None}
"""How workflow handles connect. Prepared statements get lost behind a pooler, and would not pay off here."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database, and the schema of Oban's tables in it.

    Attributes:
        prefix: The schema.
        oban: The name of the Oban instance whose pool is used, if this process has it.
        conninfo: The connection string that is used without an instance.
        pool: A pool to use that does not belong to an instance, if any; it is in autocommit mode.
    """

    prefix: str
    oban: str
    conninfo: str | None = field(default=None, repr=False)  # it may hold a password
    pool: AsyncConnectionPool[Any] | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of_flow(settings: Settings, conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None) -> Database:
        """The database that a flow is inserted into.

        Args:
            settings: The flow's settings; their prefix overrides that of the Oban instance.
            conn: The caller's connection, if there is one.
        """
        prefix = settings.prefix or _prefix(settings.oban)
        conninfo = _conninfo_of(settings.oban) if conn is None else _conninfo_under(conn)
        return Database(checked_prefix(prefix), settings.oban, conninfo)

    @staticmethod
    def configured(*, dsn: str | None = None, prefix: str | None = None, oban: str = "Oban") -> Database:
        """The database that is passed, or else that of the Oban instance, or else that of the environment.

        Raises:
            DatabaseNotConfiguredError: BTN411, if none is named anywhere.
            ConnectionStringError: BTN421, if its connection string can't be read.
        """
        conninfo = dsn or _conninfo_of(oban) or os.environ.get("BATON_DSN") or os.environ.get("OBAN_DSN") or None
        if conninfo is not None:
            conninfo = connection_string.read(conninfo)
        if conninfo is None and instances.find(oban) is None:
            raise DatabaseNotConfiguredError("no database is named", remedy="give dsn=, or set BATON_DSN")
        return Database(checked_prefix(prefix or _prefix(oban)), oban if dsn is None else "", conninfo)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection for reading: from a pool, or a new one."""
        if self.pool is not None:
            async with self.pool.connection() as conn:
                yield conn
            return
        instance = instances.find(self.oban)
        if instance is not None and not instance.pool.closed:
            async with instance.pool.connection() as conn:
                yield conn
            return
        async with await psycopg.AsyncConnection.connect(self.conninfo_or_fail(), **OPTIONS) as conn:
            yield conn

    @contextmanager
    def sync_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for reading, for sync code: always a new one."""
        with psycopg.connect(self.conninfo_or_fail(), **OPTIONS) as conn:
            yield conn

    @asynccontextmanager
    async def snapshot(
        self, conn: psycopg.AsyncConnection[Any] | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection on which all reads see one snapshot, and names without a schema are PostgreSQL's own.

        Args:
            conn: An open connection to use instead of a new one.
        """
        if conn is None:
            async with self.connection() as opened, self.snapshot(opened):
                yield opened
            return
        async with conn.transaction():
            await conn.execute(_SNAPSHOT)
            yield conn

    @contextmanager
    def sync_snapshot(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        """As `snapshot`, for sync code, on a connection of its own."""
        with conn.transaction():
            conn.execute(_SNAPSHOT)
            yield

    def listen(self, conn: psycopg.Connection[Any]) -> bool:
        """Let a connection listen for ends. Return False behind a pooler, through which notifications do not come."""
        if not is_direct(conn):
            return False
        conn.execute(sql.SQL("LISTEN {}").format(self.channel))
        return True

    @property
    def channel(self) -> sql.Identifier:
        """The channel of the notifications about ended workflows."""
        return sql.Identifier(f"{self.prefix}.oban_{CHANNEL}")

    def conninfo_or_fail(self) -> str:
        """How to connect.

        Raises:
            DatabaseNotConfiguredError: BTN411, if nobody said.
        """
        if self.conninfo is None:
            raise DatabaseNotConfiguredError("no database is named", remedy="give dsn=, or set BATON_DSN")
        return self.conninfo


_conninfos: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()


def _conninfo_under(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> str:
    """The connection string of a connection. Cached, because libpq assembles it from forty parts each time."""
    known = _conninfos.get(conn)
    if known is None:
        known = _conninfos[conn] = make_conninfo(conn.info.dsn, password=conn.info.password or None)
    return known


def _conninfo_of(oban: str) -> str | None:
    """The connection string of an Oban instance's pool, if it has one."""
    instance = instances.find(oban)
    conninfo = instance.pool.conninfo if instance is not None else None
    return conninfo if isinstance(conninfo, str) else None


def _prefix(oban: str) -> str:
    instance = instances.find(oban)
    return instance.prefix if instance is not None else os.environ.get("OBAN_PREFIX") or "public"
