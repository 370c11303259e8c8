"""Acknowledge the ends of attempts, so that one that the database rejects does not block the others.

Part of the bridge to oban, as `dispatching` is:

| what | where in oban | why |
| --- | --- | --- |
| acknowledging | the extension point `query.ack_jobs`, `_ack_jobs`, `AckAction` | what a settle did, what is too long |
| the history of a job | `Job.errors`, a list of `{"attempt", "at", "error"}` | it is bounded |
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import psycopg
from oban import Job
from oban._executor import AckAction
from oban._extensions import get_ext, put_ext
from oban._query import Query, _ack_jobs
from psycopg.types.json import Jsonb

from baton_dsl.core.wording import LONGEST_ERROR, shortened
from baton_dsl.runtime.database.answers import is_outage
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values.raised import described

logger = logging.getLogger(__name__)

_DONE: Final = "baton_done"
"""The key in a job's `extra` (not stored) that says that the end of this attempt is already in its row."""

LONGEST_HISTORY: Final = 16 * LONGEST_ERROR
"""The most characters of a job's errors that are kept: those of the first and the last attempts."""
_FIRST: Final = 2
"""How many errors at the beginning of a history are always kept."""
_LEFT_OUT: Final = "left_out"
"""The key of an entry that replaces others; its value is their number."""

PAUSE: Final = (1.0, 60.0)
"""Seconds before an end that the database rejected is sent again: the shortest and the longest pause."""

_TRIM: Final = """
UPDATE baton.oban_jobs SET errors = %s WHERE id = %s AND state = 'executing' AND attempted_at = %s
"""


@dataclass(slots=True)
class _Refused:
    """An end that the database rejected, and when it is sent again."""

    action: AckAction
    pause: float
    due: float


class Acknowledgements:
    """Handles the ends of attempts.

    Installed at Oban's extension point `query.ack_jobs`, around the function that is there. Jobs that a settle has
    completed are not acknowledged again, because that would be a needless round trip for each; `BATON_ACK=oban` turns
    this off, which changes only the speed. All others are passed on, in a form that the database can store.
    """

    def __init__(self) -> None:
        self._next: Callable[[Query, list[AckAction]], Awaitable[list[int]]] | None = None
        self._refused: WeakKeyDictionary[Query, dict[int, _Refused]] = WeakKeyDictionary()

    def install(self) -> None:
        """Install it at Oban's extension point, once."""
        if self._next is None:
            self._next = get_ext("query.ack_jobs", _ack_jobs)
            put_ext("query.ack_jobs", self.ack)

    def add(self, job: Job) -> None:
        """Remember that a settle has completed this attempt of the job.

        This is stored in the job itself, because jobs in another schema or database may have the same id.
        """
        if os.environ.get("BATON_ACK") != "oban":
            job.extra[_DONE] = True

    async def ack(self, query: Query, acks: Sequence[AckAction]) -> list[int]:
        """Store the ends of attempts, except those that a settle has stored."""
        done: list[int] = []
        rest: list[AckAction] = []
        for action in acks:
            if _DONE in action.job.extra and action.job.id is not None:
                done.append(action.job.id)
            else:
                rest.append(_bounded(action))
        for action in rest:
            await self._trim(query, action)
        return done + (await self._store(query, rest) if rest else [])

    async def _store(self, query: Query, acks: list[AckAction]) -> list[int]:
        assert self._next is not None
        try:
            return await self._next(query, acks)
        except Exception as error:
            if is_outage(error):
                raise
            if len(acks) == 1:
                return await self._store_plainly(query, acks[0], error)
        stored: list[int] = []
        for action in acks:
            for job_id in await self._store(query, [action]):
                stored.append(job_id)
                action.job.extra[_DONE] = True  # if another one raises, all are acknowledged again
        return stored

    async def _store_plainly(self, query: Query, action: AckAction, refusal: Exception) -> list[int]:
        """Store an end without the parts that the database may have rejected; if it rejects that too, retry later."""
        job = action.job
        said = f"The end of this attempt could not be stored as it was: {described(refusal)}"
        logger.error("job %s of %s: %s", job.id, job.worker, said)
        error = action.error and {**action.error, "error": f"{said}\n{shortened(str(action.error.get('error')), 4096)}"}
        pause = action.schedule_in if isinstance(action.schedule_in, int) else None
        return await self._insist(query, replace(action, error=error, meta=None, schedule_in=pause), PAUSE[0])

    # --- what the database has rejected ------------------------------------------------------------------------------

    def refused(self, query: Query) -> list[int]:
        """The jobs whose ends the database has rejected. They run nowhere, and their ends are sent again."""
        return list(self._refused.get(query, ()))

    async def again(self, query: Query) -> None:
        """Send the rejected ends again, if it is time."""
        for each in list(self._refused.get(query, {}).values()):
            if each.due <= time.monotonic():
                await self._insist(query, each.action, min(2 * each.pause, PAUSE[1]))

    async def _insist(self, query: Query, action: AckAction, pause: float) -> list[int]:
        assert self._next is not None
        job = action.job
        assert job.id is not None
        refused = self._refused.setdefault(query, {})
        refused[job.id] = _Refused(action, pause, time.monotonic() + pause)
        try:
            stored = await self._next(query, [action])
        except Exception as error:
            if is_outage(error):
                raise
            logger.error(
                "job %s of %s looks running until its end can be stored: %s", job.id, job.worker, described(error)
            )
            return []
        refused.pop(job.id, None)
        return stored

    # --- the history of a job ----------------------------------------------------------------------------------------

    async def _trim(self, query: Query, action: AckAction) -> None:
        """Shorten the history of a job that would become too long."""
        job = action.job
        kept = trimmed(job.errors) if action.error is not None else None
        if kept is None:
            return
        moment = Query._cast_type("attempted_at", job.attempted_at)
        try:
            async with autocommit(cast("Pool", query._pool)) as conn:
                await conn.execute(statement(_TRIM, query._prefix), [Jsonb(kept), job.id, moment])
        except psycopg.Error as error:
            if is_outage(error):
                raise
            logger.warning("the errors of job %s could not be shortened: %s", job.id, described(error))


def trimmed(errors: Sequence[Any]) -> list[Any] | None:
    """The errors of a job that are kept when another one is added; None if all are.

    Examples:
        >>> kept = trimmed([{"attempt": number, "error": "x" * 60_000} for number in range(1, 20)])
        >>> [entry["attempt"] for entry in kept], kept[2]["error"]
        ([1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], 'The errors of 3 attempts are left out.')
        >>> trimmed(kept[:3])
    """
    room = LONGEST_HISTORY - LONGEST_ERROR
    if sum(map(_length, errors)) <= room:
        return None
    cut = [_cut(entry) for entry in errors]
    first = cut[:_FIRST]
    last: list[Any] = []
    room -= sum(map(_length, first))
    while len(first) + len(last) < len(cut) and (room := room - _length(cut[-len(last) - 1])) >= 0:
        last.insert(0, cut[-len(last) - 1])
    left = cut[len(first) : len(cut) - len(last)]
    if not left:
        return cut
    count = sum(_fields(entry).get(_LEFT_OUT, 1) for entry in left)
    note = {_LEFT_OUT: count, "error": f"The errors of {count} attempts are left out."}
    return [*first, {**_fields(left[-1]), **note}, *last]


def _fields(entry: Any) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {}


def _length(entry: Any) -> int:
    return len(str(_fields(entry).get("error", entry))) + 100


def _cut(entry: Any) -> Any:
    error = _fields(entry).get("error")
    return {**entry, "error": shortened(error)} if isinstance(error, str) else entry


def _bounded(action: AckAction) -> AckAction:
    """Make the error of an end storable in PostgreSQL, and shorten it."""
    if action.error is None:
        return action
    error = {key: shortened(value) if isinstance(value, str) else value for key, value in action.error.items()}
    return action if error == action.error else replace(action, error=error)


ACKNOWLEDGEMENTS: Final = Acknowledgements()
