"""Use an instance's LISTEN connection: detect its silence, and answer that this process is alive."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from baton_dsl.runtime.database.pools import autocommit
from baton_dsl.runtime.database.silence import WATCH
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)

ALIVE: Final = "alive"
"""The channel on which `baton_rescue` asks whether a producer is alive."""
BEAT: Final = 3.0
"""Seconds between two statements on the LISTEN connection, which detect whether it is silent."""

LAST: Final = 1.0
"""Seconds for the last of these statements when the instance stops."""


class Listening:
    """Sends statements on the LISTEN connection, and answers for the instance's producers if their guard seems lost.

    Args:
        running: The Oban instance.
    """

    def __init__(self, running: bridge.Running) -> None:
        self._running = running
        self._alive = statement("SELECT baton.baton_alive(%s::text[])", running.prefix)
        self._is_retired = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start to listen."""
        self._running.hold_notifier(self._until_it_is_quiet)
        self._beats = self._go(self._beat())

    def retire(self) -> None:
        """Stop sending statements. Requests are answered as long as the notifier listens."""
        self._is_retired.set()

    def _go(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name="baton-listening")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_it_is_quiet(self) -> None:
        """Wait for the last statement, because psycopg crashes if a connection is closed during a statement."""
        self._is_retired.set()
        _, late = await asyncio.wait([self._beats], timeout=LAST)
        for task in late:
            task.cancel()
        await asyncio.gather(self._beats, return_exceptions=True)

    async def _beat(self) -> None:
        await self._running.notifier.listen(ALIVE, self._hear, wait=False)
        while not self._is_retired.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_retired.wait(), BEAT)
            conn = self._running.listening_connection()
            if conn is not None and not conn.closed:
                with (
                    suppress(psycopg.Error, OSError),
                    WATCH.over(conn),
                ):  # Oban notices that it is closed, and connects again
                    await conn.execute("SELECT 1")

    def _hear(self, _channel: str, payload: dict[str, Any]) -> None:
        asked = payload.get("producer")
        if any(producer.uuid == asked and producer.is_busy for producer in self._running.all_producers()):
            self._go(self._answer(str(asked)))

    async def _answer(self, producer: str) -> None:
        try:
            async with autocommit(self._running.pool) as conn:
                await conn.execute(self._alive, [[producer]])
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:  # it will be asked again
            logger.warning("could not report that this process is alive: %s", str(error).strip())
