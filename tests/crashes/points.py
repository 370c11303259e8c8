"""The points at which a worker process may be killed. The tests wrap the shipped code, which knows nothing of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from oban._extensions import get_ext, put_ext
from oban._producer import Producer, _get_jobs
from oban._query import Query, _ack_jobs

from baton_dsl.runtime.executing import settle
from baton_dsl.runtime.executing.gate import Gate
from baton_dsl.runtime.executing.settle import Settler
from baton_dsl.runtime.usage.writing import DatabaseWriter


class Point(StrEnum):
    """A moment in the life of a step, in order."""

    AFTER_FETCH = "fetched, not started"
    BEFORE_GATE = "before the gate"
    AFTER_GATE = "after the gate"
    IN_FUNCTION = "in the function"
    BEFORE_STORE = "a call within the function has ended, its result is not stored"
    AFTER_STORE = "the result of a call within the function is stored"
    BEFORE_SETTLE = "the result is computed, not stored"
    BEFORE_START_OF_CLAIMED = "the result is stored, what it claimed is not started"
    AFTER_SETTLE = "the result is stored, the job not acknowledged"
    BEFORE_ACK = "failed, not acknowledged"
    AFTER_ACK = "failed and acknowledged"


OF_A_CALL = (Point.BEFORE_STORE, Point.AFTER_STORE)
"""Where only a step that makes calls comes by."""


class Trap:
    """Kills its own process at one point."""

    def __init__(self) -> None:
        self._point: Point | None = None
        self._passes = 0

    def arm(self, point: Point, passes: int) -> None:
        """From now on, die at this point after it was passed this often."""
        self._point, self._passes = point, passes

    def reach(self, point: Point) -> None:
        """The process is there."""
        if point is not self._point:
            return
        self._passes -= 1
        if self._passes < 0:
            os.kill(os.getpid(), signal.SIGKILL)


TRAP = Trap()


def install() -> None:
    """Put the traps around the runtime of this process."""
    _around(Gate, "read", Point.BEFORE_GATE, Point.AFTER_GATE)
    _around(DatabaseWriter, "store", Point.BEFORE_STORE, Point.AFTER_STORE)
    _around(Settler, "settle", Point.BEFORE_SETTLE, Point.AFTER_SETTLE)
    dispatch: Callable[..., Any] = settle.dispatch

    def dispatched(*arguments: Any) -> Any:
        TRAP.reach(Point.BEFORE_START_OF_CLAIMED)
        return dispatch(*arguments)

    settle.dispatch = dispatched
    get_jobs = get_ext("producer.get_jobs", _get_jobs)

    async def fetched(producer: Producer) -> Any:
        jobs = await get_jobs(producer)
        if jobs:
            TRAP.reach(Point.AFTER_FETCH)
        return jobs

    put_ext("producer.get_jobs", fetched)
    ack_jobs = get_ext("query.ack_jobs", _ack_jobs)

    async def acked(query: Query, acks: Sequence[Any]) -> Any:
        TRAP.reach(Point.BEFORE_ACK)
        done = await ack_jobs(query, acks)
        TRAP.reach(Point.AFTER_ACK)
        return done

    put_ext("query.ack_jobs", acked)


def _around(cls: type, name: str, before: Point, after: Point) -> None:
    original = getattr(cls, name)

    async def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        TRAP.reach(before)
        value = await original(self, *arguments, **options)
        TRAP.reach(after)
        return value

    setattr(cls, name, wrapped)
