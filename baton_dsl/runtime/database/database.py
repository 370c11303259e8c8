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
        async with await psycopg.AsyncConnection.connect(self._conninfo(), **_OPTIONS) as conn:
            yield conn

    @contextmanager
    def sync_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for reading, for sync code: always a new one."""
        with psycopg.connect(self._conninfo(), **_OPTIONS) as conn:
            yield conn

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection on which all reads see one snapshot, and names without a schema are PostgreSQL's own."""
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
        """Let a connection listen for ends. Return False behind a pooler, through which notifications do not come."""
        if not is_direct(conn):
            return False
        conn.execute(sql.SQL("LISTEN {}").format(self.channel))
        return True

    @property
    def channel(self) -> sql.Identifier:
        """The channel of the notifications about ended workflows."""
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
    """The events that wait on a notifier for the ends of workflows, by workflow id. The notifier starts to listen.

    It never stops listening, because Oban's notifier misses a channel that is left and joined again quickly: it sends
    the UNLISTEN after the LISTEN.
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
    """Seconds between two polls where there are no notifications: short at first, then longer."""
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
