"""`Database`: where a workflow is stored, and how async and sync code reach it."""

from __future__ import annotations

import asyncio
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
from baton_dsl.runtime.database.instances import CHANNEL, Notifier
from baton_dsl.runtime.database.pooling import is_direct, is_direct_async
from baton_dsl.runtime.database.prefix import checked_prefix

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

_SNAPSHOT: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path TO pg_catalog, pg_temp"
)
_OPTIONS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None}
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
        async with await psycopg.AsyncConnection.connect(self._conninfo(), **_OPTIONS) as conn:
            yield conn

    @contextmanager
    def sync_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for reading, for sync code: always one of its own."""
        with psycopg.connect(self._conninfo(), **_OPTIONS) as conn:
            yield conn

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection on which all reads see one moment, and names without a schema are PostgreSQL's own."""
        async with self.connection() as conn, conn.transaction():
            await conn.execute(_SNAPSHOT)
            yield conn

    @contextmanager
    def sync_snapshot(self, conn: psycopg.Connection[Any]) -> Iterator[None]:
        """As `snapshot`, for sync code, on a connection of its own."""
        with conn.transaction():
            conn.execute(_SNAPSHOT)
            yield

    @asynccontextmanager
    async def endings(self, workflow_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the workflow ends. It can fire spuriously and be missed, so also poll."""
        ended = asyncio.Event()
        instance = instances.find(self.oban)
        if instance is not None and instance.is_started:
            waiting = await _waiting_on(instance.notifier)
            waiting.setdefault(workflow_id, []).append(ended)
            try:
                yield ended
            finally:
                waiting[workflow_id].remove(ended)
                if not waiting[workflow_id]:
                    del waiting[workflow_id]
            return
        async with await psycopg.AsyncConnection.connect(self._conninfo(), **_OPTIONS) as conn:
            if await is_direct_async(conn):
                await conn.execute(sql.SQL("LISTEN {}").format(self.channel))
                listening = asyncio.create_task(_forward(conn, workflow_id, ended))
            else:
                listening = asyncio.create_task(_look_often(ended))
            try:
                yield ended
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

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

    def _conninfo(self) -> str:
        if self.conninfo is None:
            raise DatabaseNotConfiguredError("no database is named", remedy="give dsn=, or set BATON_DSN")
        return self.conninfo


@dataclass(frozen=True, slots=True)
class _Waiting:
    by_workflow: dict[str, list[asyncio.Event]]
    listening: asyncio.Future[str]


_waiting: WeakKeyDictionary[Notifier, _Waiting] = WeakKeyDictionary()


async def _waiting_on(notifier: Notifier) -> dict[str, list[asyncio.Event]]:
    """What waits on a notifier for the ends of workflows, by their ids; the notifier listens from now on.

    It never stops to listen: Oban's notifier is deaf to a channel that is left and joined again within a moment, since
    it sends the UNLISTEN after the LISTEN.
    """
    found = _waiting.get(notifier)
    if found is None:
        by_workflow: dict[str, list[asyncio.Event]] = {}

        def hear(_channel: str, payload: dict[str, Any]) -> None:
            for ended in by_workflow.get(payload.get("workflow_id", ""), ()):
                ended.set()

        listening = asyncio.ensure_future(notifier.listen(CHANNEL, hear))
        found = _waiting[notifier] = _Waiting(by_workflow, listening)
    await asyncio.shield(found.listening)
    return found.by_workflow


def pauses() -> Iterator[float]:
    """Seconds between two looks where nothing is heard: short ones at first."""
    pause = 0.02
    while True:
        yield pause
        pause = min(1.0, pause * 1.3)


async def _look_often(ended: asyncio.Event) -> None:
    for pause in pauses():
        await asyncio.sleep(pause)
        ended.set()


async def _forward(conn: psycopg.AsyncConnection[Any], workflow_id: str, ended: asyncio.Event) -> None:
    async for notification in conn.notifies():
        if workflow_id in notification.payload:
            ended.set()


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
