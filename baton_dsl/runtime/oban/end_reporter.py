"""Telemetry of ended workflows: each end is reported once, in one of the listening processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from oban import telemetry
from psycopg.rows import dict_row
from psycopg_pool import PoolClosed

from baton_dsl.runtime.database.instances import CHANNEL
from baton_dsl.runtime.database.pools import autocommit
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)

STOP: Final = "baton.workflow.stop"
"""The event of a workflow's end."""
EVENTS: Final = (STOP,)
"""All events of baton-dsl, for `oban.telemetry.attach`."""

LOOK: Final = 30.0
"""Seconds between two polls for ends whose notification was missed."""
BACK: Final = timedelta(minutes=5)
"""How far the first poll of a process goes back: while all processes were restarted, nobody listened."""
OVERLAP: Final = timedelta(minutes=1)
"""How far each poll goes back before the previous one, because an end has the time of its transaction's start."""


class EndReporter:
    """Reports the ends of workflows to the telemetry handlers of this process, until it is retired.

    Each end is reported by one process: the one to which `baton_tell` returns it. A process without a handler for the
    event does not call it, so without handlers it costs nothing.

    Args:
        running: The Oban instance.
    """

    def __init__(self, running: bridge.Running) -> None:
        self._pool, self._notifier = running.pool, running.notifier
        self._tell = statement("SELECT * FROM baton.baton_tell(%s::text[], %s::timestamptz)", running.prefix)
        self._ended: set[str] = set()
        self._heard = asyncio.Event()
        self._since = datetime.now(UTC) - BACK
        self._looked = float("-inf")
        self._retired = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to report."""
        self._task = asyncio.create_task(self._run(), name="baton-teller")

    def retire(self) -> None:
        """Stop to report. Other processes, or the next one, report the workflows that end from now on."""
        self._retired = True
        self._heard.set()

    async def _run(self) -> None:
        token = await self._notifier.listen(CHANNEL, self._hear)
        try:
            while not self._retired:
                await self._once()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._heard.wait(), LOOK)
        finally:
            await self._notifier.unlisten(token)

    def _hear(self, _channel: str, payload: dict[str, Any]) -> None:
        self._ended.add(str(payload.get("workflow_id")))
        self._heard.set()

    async def _once(self) -> None:
        self._heard.clear()
        ended, self._ended = self._ended, set()
        if not bridge.is_heard(STOP):
            return
        now = datetime.now(UTC)
        looks = time.monotonic() - self._looked >= LOOK
        try:
            rows = await self._untold(list(ended), self._since if looks else None)
        except (psycopg.errors.UndefinedFunction, PoolClosed):
            return  # not installed yet, or the instance stops
        except psycopg.Error as error:  # such as a standby that is read-only shortly after a failover
            logger.warning("ended workflows could not be read, and are read again later: %s", str(error).strip())
            return
        if looks:
            self._looked, self._since = time.monotonic(), now - OVERLAP
        for row in rows:
            telemetry.execute(STOP, _metadata(row))

    async def _untold(self, ids: Sequence[str], since: datetime | None) -> list[dict[str, Any]]:
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=dict_row, binary=True)
            return await (await cursor.execute(self._tell, [ids, since])).fetchall()


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    """The metadata for a handler, with times in nanoseconds as in Oban's events."""
    lasted: timedelta = row["settled_at"] - row["inserted_at"]
    return {
        "workflow_id": row["workflow_id"],
        "workflow_name": row["workflow_label"],
        "flow": row["flow_name"],
        "outcome": row["outcome"],
        "counts": row["counts"],
        "duration": lasted // timedelta(microseconds=1) * 1000,
        "system_time": time.time_ns(),
    }
