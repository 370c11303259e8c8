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
"""The channel on which `baton_rescue` asks whether a producer lives."""
BEAT: Final = 3.0
"""Seconds between two statements on the LISTEN connection. Nothing else tells that it is silent."""

LAST: Final = 1.0
"""Seconds for the last of them, when the instance stops."""


class Listening:
    """Beats, and answers who asks whether a producer of the instance lives: its guard's connection may be lost.

    Args:
        running: The Oban instance.
    """

    def __init__(self, running: bridge.Running) -> None:
        self._running = running
        self._alive = statement("SELECT baton.baton_alive(%s::text[])", running.prefix)
        self._is_retired = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin."""
        self._running.hold_notifier(self._until_it_is_quiet)
        self._beats = self._go(self._beat())

    def retire(self) -> None:
        """Beat no more. Who asks is answered as long as the notifier listens."""
        self._is_retired.set()

    def _go(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name="baton-listening")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_it_is_quiet(self) -> None:
        """Let the last statement end: psycopg crashes if a connection is closed while a statement waits on it."""
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
                ):  # Oban sees that it is closed, and connects anew
                    await conn.execute("SELECT 1")

    def _hear(self, _channel: str, payload: dict[str, Any]) -> None:
        asked = payload.get("producer")
        if any(producer.uuid == asked and producer.is_busy for producer in self._running.all_producers()):
            self._go(self._answer(str(asked)))

    async def _answer(self, producer: str) -> None:
        try:
            async with autocommit(self._running.pool) as conn:
                await conn.execute(self._alive, [[producer]])
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:  # it is asked again
            logger.warning("could not say that this process lives: %s", str(error).strip())
