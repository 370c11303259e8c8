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
"""How handles connect. Prepared statements are lost behind a pooler, and would not pay here."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database, and the schema of Oban's tables in it.

    Attributes:
        prefix: The schema.
        oban: The name of the Oban instance whose pool serves, if there is one in this process.
        conninfo: How to connect without an instance.
        pool: The pool whose connections serve, if there is one that is not an instance's; it is in autocommit mode.
    """

    prefix: str
    oban: str
    conninfo: str | None = field(default=None, repr=False)  # it may hold a password
    pool: AsyncConnectionPool[Any] | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of_flow(settings: Settings, conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None) -> Database:
        """The database that a flow is inserted into.

        Args:
            settings: The flow's; its prefix wins over that of the Oban instance.
            conn: The caller's connection, if there is one.
        """
        prefix = settings.prefix or _prefix(settings.oban)
        conninfo = _conninfo_of(settings.oban) if conn is None else _conninfo_under(conn)
        return Database(checked_prefix(prefix), settings.oban, conninfo)

    @staticmethod
    def configured(*, dsn: str | None = None, prefix: str | None = None, oban: str = "Oban") -> Database:
        """The database that is named, else the Oban instance's, else that of the environment.

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

    def table(self, name: str) -> sql.Identifier:
        """A table or function of ours, with its schema."""
        return sql.Identifier(self.prefix, name)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection for reading: of a pool, or one of its own."""
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
        """A connection for reading, for sync code: always one of its own."""
        with psycopg.connect(self.conninfo_or_fail(), **OPTIONS) as conn:
            yield conn

    @asynccontextmanager
    async def snapshot(
        self, conn: psycopg.AsyncConnection[Any] | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection on which all reads see one moment, and names without a schema are PostgreSQL's own.

        Args:
            conn: The one to use, if there is one already.
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
        """Let a connection hear of ends; False if a pooler is between, through which nothing is heard."""
        if not is_direct(conn):
            return False
        conn.execute(sql.SQL("LISTEN {}").format(self.channel))
        return True

    @property
    def channel(self) -> sql.Identifier:
        """The channel on which the ends of workflows are told."""
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
    """How a connection has connected; asked once, since libpq puts it together from forty parts each time."""
    known = _conninfos.get(conn)
    if known is None:
        known = _conninfos[conn] = make_conninfo(conn.info.dsn, password=conn.info.password or None)
    return known


def _conninfo_of(oban: str) -> str | None:
    """How the pool of an Oban instance connects, if it says so."""
    instance = instances.find(oban)
    conninfo = instance.pool.conninfo if instance is not None else None
    return conninfo if isinstance(conninfo, str) else None


def _prefix(oban: str) -> str:
    instance = instances.find(oban)
    return instance.prefix if instance is not None else os.environ.get("OBAN_PREFIX") or "public"
