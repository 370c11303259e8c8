"""End a worker process shortly after its grace period, whatever its steps and its database do.

A thread waits for signals, because a step may block the event loop. The thread asks the node to stop. If the node does
not end in time, it ends the process without the interpreter's clean-up, which would wait for tasks and threads that
can't be stopped.
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
"""Seconds after the grace within which the process ends."""
PATIENCE: Final = 0.8
"""Seconds for the last records of the log."""
THREADS_LOST: Final = 5
"""The exit code of a process that ends because too many of its threads are lost."""

_FINISHED: Final = -1
_LOST: Final = 0


class Leaving:
    """Ends a worker process after SIGTERM or Ctrl-C; at once if the signal is repeated.

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
        """Start to watch. Call it in the main thread, because only that one gets signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        RUNS.at_most_lost = self._leave_for_lost_threads
        threading.Thread(target=self._wait, name="baton-leaving", daemon=True).start()

    def serves(self, stop: Callable[[], object], running: Callable[[], Iterable[Job]]) -> None:
        """Declare that the process works now. Before that, it ends at the first signal.

        Args:
            stop: Asks the node to stop; may be called from any thread.
            running: Returns the running jobs; may be called from any thread.
        """
        self._stop, self._running = stop, running

    def finish(self) -> None:
        """Declare that the work has ended. Only the clean-up of the process is left, which gets a moment."""
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
        """End the process. If nobody reads its log any more, it ends without logging."""
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
