"""Check whether a worker process is healthy, and whether it takes jobs. An orchestrator asks for this over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from oban import Oban

from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.threads import RUNS

BEAT: Final = 1.0
"""Seconds between two heartbeats of the event loop."""
BLOCKED: Final = 15.0
"""Seconds without a heartbeat after which the event loop counts as blocked for good."""
PATIENCE: Final = 2
"""Seconds to wait for the database, and for which its answer is cached."""


class Health:
    """Reports the health of a process. May be called from any thread, also while a step blocks the event loop.

    Args:
        oban: The instance that runs the steps.
        dsn: Its database.
    """

    def __init__(self, oban: Oban, dsn: str) -> None:
        self._oban = oban
        self._dsn = dsn
        self._beaten = time.monotonic()
        self._takes_jobs = False
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._answer: str | None = None

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Declare that the process takes jobs while the context lasts."""
        beating = asyncio.create_task(self._beat(), name="baton-health")
        self._takes_jobs = True
        try:
            yield
        finally:
            self._takes_jobs = False
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def stops(self) -> None:
        """Declare that the process takes no further jobs, because it was asked to stop."""
        self._takes_jobs = False

    def illness(self) -> str | None:
        """A problem that only a restart of the process can solve; None if there is none."""
        silent = time.monotonic() - self._beaten
        if self._takes_jobs and silent > BLOCKED:
            return f"the event loop has not run for {silent:.0f} s: a step blocks it"
        if RUNS.are_too_many_lost:
            return "too many threads are lost to steps that timed out: no further jobs are taken"
        ended = bridge.stopped_fetching(self._oban) if self._takes_jobs else []
        return f"jobs are not fetched any more for {', '.join(ended)}" if ended else None

    def unreadiness(self) -> str | None:
        """Why the process takes no jobs at the moment; None if it does."""
        if not self._takes_jobs:
            return "the process is starting or stopping"
        return self.illness() or self._of_database()

    def _of_database(self) -> str | None:
        with self._lock:
            if time.monotonic() - self._asked > PATIENCE:
                try:
                    with psycopg.connect(self._dsn, autocommit=True, connect_timeout=PATIENCE) as conn:
                        conn.execute("SELECT 1")
                    self._answer = None
                except psycopg.Error as error:
                    self._answer = f"the database does not answer: {' '.join(str(error).split())}"
                self._asked = time.monotonic()
            return self._answer

    async def _beat(self) -> None:
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(BEAT)
