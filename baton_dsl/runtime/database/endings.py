"""Wait for the ends of workflows, with a connection on which they are both heard and read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql

from baton_dsl.runtime.database import instances
from baton_dsl.runtime.database.database import OPTIONS, Database
from baton_dsl.runtime.database.instances import CHANNEL, Notifier
from baton_dsl.runtime.database.pooling import is_direct_async
from baton_dsl.runtime.database.silence import WatchedAsyncConnection
from baton_dsl.runtime.database.snapshot import Reading, read


class Ending(Protocol):
    """How to wait for the end of one workflow."""

    async def read[T](self, reading: Callable[[], Reading[T]]) -> T:
        """Run a reading, on whatever connection is there."""

    async def wait(self, longest: float) -> None:
        """Wait until the workflow has ended, as far as is known. It may return early, and miss an end, so look again.

        Args:
            longest: Seconds, at the most.
        """


@asynccontextmanager
async def ending(database: Database, workflow_id: str) -> AsyncIterator[Ending]:
    """Hear of the end of a workflow: by the notifier of an Oban instance, or on a connection of its own."""
    instance = instances.find(database.oban)
    if instance is not None and instance.is_started:
        waiting = await _waiting_on(instance.notifier)
        heard = _ByNotifier(database)
        waiting.setdefault(workflow_id, []).append(heard.ended)
        try:
            yield heard
        finally:
            waiting[workflow_id].remove(heard.ended)
            if not waiting[workflow_id]:
                del waiting[workflow_id]
        return
    listening = _OnConnection(database, workflow_id)
    try:
        yield listening
    finally:
        await listening.close()


class _ByNotifier:
    """Hears by a notifier that others use too, and reads on connections of its pool."""

    def __init__(self, database: Database) -> None:
        self.ended = asyncio.Event()
        self._database = database

    async def read[T](self, reading: Callable[[], Reading[T]]) -> T:
        return await read(self._database, reading())

    async def wait(self, longest: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), longest)
        self.ended.clear()


class _OnConnection:
    """Hears and reads on one connection, which is there before the end comes; made anew if it is lost."""

    def __init__(self, database: Database, workflow_id: str) -> None:
        self._database = database
        self._workflow_id = workflow_id
        self._conn: psycopg.AsyncConnection[Any] | None = None
        self._hears = False
        self._pauses = pauses()

    async def read[T](self, reading: Callable[[], Reading[T]]) -> T:
        if self._conn is not None and not self._conn.closed:
            with suppress(psycopg.OperationalError):
                return await read(self._database, reading(), self._conn)
        return await read(self._database, reading(), await self._connect())

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        await self.close()
        conn = self._conn = await WatchedAsyncConnection.connect(self._database.conninfo_or_fail(), **OPTIONS)
        self._hears = await is_direct_async(conn)
        if self._hears:
            await conn.execute(sql.SQL("LISTEN {}").format(self._database.channel))
        return conn

    async def wait(self, longest: float) -> None:
        if not self._hears or self._conn is None:
            await asyncio.sleep(min(longest, next(self._pauses)))
            return
        until = time.monotonic() + longest
        try:
            while (left := until - time.monotonic()) > 0:
                heard = [note async for note in self._conn.notifies(timeout=left, stop_after=1)]
                if any(self._workflow_id in note.payload for note in heard):
                    return
        except psycopg.OperationalError:  # the server restarts, perhaps: the next look connects anew
            await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()


_listening: Final[WeakKeyDictionary[Notifier, tuple[dict[str, list[asyncio.Event]], asyncio.Future[str]]]] = (
    WeakKeyDictionary()
)
"""For each notifier, what waits on it for the ends of workflows, by their ids; and the task that begins to listen."""


async def _waiting_on(notifier: Notifier) -> dict[str, list[asyncio.Event]]:
    """What waits on a notifier for the ends of workflows, by their ids; the notifier listens from now on.

    It never stops to listen: Oban's notifier is deaf to a channel that is left and joined again within a moment, since
    it sends the UNLISTEN after the LISTEN.
    """
    found = _listening.get(notifier)
    if found is None:
        by_workflow: dict[str, list[asyncio.Event]] = {}

        def hear(_channel: str, payload: dict[str, Any]) -> None:
            for ended in by_workflow.get(payload.get("workflow_id", ""), ()):
                ended.set()

        found = _listening[notifier] = by_workflow, asyncio.ensure_future(notifier.listen(CHANNEL, hear))
    by_workflow, listening = found
    await asyncio.shield(listening)
    return by_workflow


def pauses() -> Iterator[float]:
    """Seconds between two looks where nothing is heard: short ones at first."""
    pause = 0.02
    while True:
        yield pause
        pause = min(1.0, pause * 1.3)
