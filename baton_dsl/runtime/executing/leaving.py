"""End a worker process shortly after its grace period, whatever its steps and its database do.

A thread waits for the signals: the event loop may be held by a step that blocks it. It asks the node to stop, and ends
the process itself should the node not have ended in time. Nothing then runs that could hold it: no clean-up of the
interpreter, which would wait for tasks and threads that nobody can stop.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

from oban import Job

from baton_dsl.runtime.oban.jobs import fields_of, name_of
from baton_dsl.runtime.oban.threads import RUNS

logger = logging.getLogger(__name__)

MOMENT: Final = 1.2
"""Seconds after the grace within which the process is gone."""
PATIENCE: Final = 0.8
"""Seconds that the log gets at the end."""
THREADS_LOST: Final = 5
"""The exit code of a process that leaves since too many of its threads are lost."""

_FINISHED: Final = -1
_LOST: Final = 0


class Leaving:
    """Ends a worker process when SIGTERM or Ctrl-C comes; at once when one comes again.

    Args:
        grace: Seconds that running jobs get.

    Attributes:
        code: The exit code so far: 0, or `THREADS_LOST`.
    """

    def __init__(self, grace: float) -> None:
        self.code = 0
        self._grace = grace
        self._asked: SimpleQueue[int] = SimpleQueue()  # a signal handler may put into it at any moment
        self._stop: Callable[[], object] | None = None
        self._running: Callable[[], Iterable[Job]] = tuple

    def watch(self) -> None:
        """Begin. To be called in the main thread, since only that one gets signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        RUNS.at_most_lost = self._leave_for_lost_threads
        threading.Thread(target=self._wait, name="baton-leaving", daemon=True).start()

    def serves(self, stop: Callable[[], object], running: Callable[[], Iterable[Job]]) -> None:
        """The process has begun to work. Before, it ends at the first signal.

        Args:
            stop: Asks for the end of the work, from any thread.
            running: Names what runs, from any thread.
        """
        self._stop, self._running = stop, running

    def finish(self) -> None:
        """The work has ended: what is left are the clean-ups of the process, which get a moment."""
        self._asked.put(_FINISHED)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._asked.put(number)

    def _leave_for_lost_threads(self) -> None:
        if not self.code:
            self.code = THREADS_LOST
            self._asked.put(_LOST)

    def _wait(self) -> None:
        number = self._asked.get()
        latest = time.monotonic() + MOMENT
        if number != _FINISHED:
            if self._stop is None:
                self._end(self.code)
                return
            latest += self._grace
            logger.info("node stops; running jobs have %g s", self._grace)
            self._stop()
        code = None
        while code is None and (left := latest - time.monotonic()) > 0:
            with suppress(Empty):
                number = self._asked.get(timeout=left)
                code = 128 + number if number > 0 else None
        self._end(self.code if code is None else code)

    def _end(self, code: int) -> None:
        """End the process. Who reads its log may have stopped to do so: then it ends without a word."""
        telling = threading.Thread(target=self._tell, daemon=True)
        telling.start()
        telling.join(PATIENCE)
        os._exit(code)

    def _tell(self) -> None:
        for job in self._running():
            said = "%s was cut off in attempt %d: its process ends while it runs"
            logger.warning(said, name_of(job), job.attempt, extra=fields_of(job) | {"outcome": "cut off"})
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
