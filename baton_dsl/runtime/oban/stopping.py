"""Stop an instance: its jobs get cancellations until the last one has ended, and interrupted steps are logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from oban import Job

from baton_dsl.runtime.database.coalesce import all_kept
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.jobs import fields_of, name_of

logger = logging.getLogger(__name__)

SIGNALS: Final = "signal"
"""Oban's channel for requests to stop a job."""
KEPT: Final = 10_000
"""How many recent cancellations are kept."""
MOMENT: Final = 0.5
"""Seconds after the grace for jobs that Oban has cancelled, and the same for results that came in time."""


class Cancellations:
    """The jobs that were asked to stop recently. The answer of a fetch with such a job may come after the request."""

    def __init__(self) -> None:
        self._job_ids: OrderedDict[int, None] = OrderedDict()

    def add(self, job_id: int) -> None:
        """Remember that a job was asked to stop."""
        self._job_ids[job_id] = None
        if len(self._job_ids) > KEPT:
            self._job_ids.popitem(last=False)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._job_ids


CANCELLATIONS: Final = Cancellations()


class Stopping:
    """Passes cancellations to the jobs of an instance, also while it stops, and logs the jobs that its stop interrupts.

    Oban's producers and its notifier stop listening before they wait for the running jobs.

    Args:
        running: The Oban instance.
    """

    def __init__(self, running: bridge.Running) -> None:
        self._running = running
        self._told: WeakSet[asyncio.Task[None]] = WeakSet()
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to listen."""
        self._running.hold_notifier(self._until_all_have_ended)
        self._listening = asyncio.create_task(self._listen(), name="baton-cancellations")

    def retire(self) -> None:
        """Called when the instance stops: jobs that are cancelled from now on are interrupted by the stop."""
        self._look()

    async def _listen(self) -> None:
        await self._running.notifier.listen(SIGNALS, self._hear, wait=False)

    def _hear(self, _channel: str, payload: dict[str, Any]) -> None:
        if payload.get("action") == "pkill":
            CANCELLATIONS.add(payload["job_id"])
            for producer in self._running.all_producers():
                producer.ask_to_stop(payload["job_id"])

    async def _until_all_have_ended(self) -> None:
        graces = [producer.grace for producer in self._running.all_producers()]
        finite = [grace for grace in graces if grace is not None]
        latest = time.monotonic() + max(finite, default=0.0) + MOMENT if len(finite) == len(graces) else None
        while tasks := self._look():
            left = None if latest is None else latest - time.monotonic()
            if left is not None and left <= 0:
                break
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        await all_kept(MOMENT)

    def _look(self) -> set[asyncio.Task[None]]:
        """Log each running job that gets interrupted. Return the running tasks, including the producers' fetches."""
        tasks: set[asyncio.Task[None]] = set()
        for producer in self._running.all_producers():
            tasks.update(producer.loop())
            for job, task in producer.running():
                tasks.add(task)
                if task not in self._told:
                    self._told.add(task)
                    task.add_done_callback(partial(_tell, job))
        return {task for task in tasks if not task.done()}


def _tell(job: Job, task: asyncio.Task[None]) -> None:
    if task.cancelled():
        said = "%s was cut off in attempt %d: its time was up"
        logger.warning(said, name_of(job), job.attempt, extra=fields_of(job) | {"outcome": "cut off"})
