"""The settle: store results, count down, promote and complete the jobs, in one statement for many jobs."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from oban import Job, Oban
from psycopg import sql
from psycopg.rows import tuple_row

from baton_dsl.runtime.database.pools import Lease, autocommit
from baton_dsl.runtime.executing.gate import Passage, passage_of
from baton_dsl.runtime.oban.acks import ACKNOWLEDGEMENTS
from baton_dsl.runtime.oban.bridge import has_place, hears, pool_of, prefix_of
from baton_dsl.runtime.oban.fetches import FETCHES, PLACE_TAKEN, dispatch
from baton_dsl.runtime.oban.stopping import CANCELLATIONS
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A job whose function has returned.

    Attributes:
        job: The job.
        result: What it returned as JSON; None if it skipped its step.
        reason: Why it skipped.
        forgets: Whether it may have checkpoints, which the settle deletes.
    """

    job: Job
    result: str | None
    reason: str | None = None
    forgets: bool = False

    @property
    def is_plain(self) -> bool:
        """True for a result, and nothing beside it."""
        return self.result is not None and not self.forgets


SINCE: Final = "baton_since"
"""The key in a job's `extra` (not stored) for the time since which claims in a row have used a slot of its queue."""
LONGEST_STREAK: Final = 0.1
"""The most seconds for which claims in a row may use a slot while older jobs of the same priority wait."""

FOREKNOWN: Final = "baton_foreknown"
"""The key in a job's `extra` for what a settle read about the job when it claimed it, and when."""
MOST_FOREKNOWN: Final = 8
"""The most jobs of a settle for which it also reads the claimed jobs; for more, one gate for all is cheaper."""
MOST_BYTES: Final = 8 * 1024
"""The most bytes of an upstream's result that is read that way."""

_COLUMNS: Final = (
    *("id", "state", "queue", "worker", "attempt", "max_attempts", "priority", "args", "meta", "errors", "tags"),
    *("attempted_by", "inserted_at", "attempted_at", "scheduled_at"),
)


class Foreknown(NamedTuple):
    """What a settle read about a job when it claimed it, and when its answer came."""

    passage: Passage
    read_at: float


LONGEST_AGO: Final = 0.1
"""Seconds for which that may replace the gate: the event loop may have been blocked, or the start delayed."""


def foreknown(oban: Oban, job: Job) -> Passage | None:
    """What a settle read about a job, if this process would know of any change since then.

    If its workflow is cancelled, the process that runs the job is notified. The notification may come before the
    process knows about the job, so recent ones are kept. A process that can't listen uses the gate instead.
    """
    known: Foreknown | None = job.extra.pop(FOREKNOWN, None)
    if known is None or time.monotonic() - known.read_at > LONGEST_AGO or job.id in CANCELLATIONS or not hears(oban):
        return None
    return known.passage


_SETTLE: Final = sql.SQL("""
SELECT * FROM baton.baton_settle(
    %s::int8[], %s::int2[], %s::text[], %s::text[], %s::json, forgets => %s::bool, is_again => %s::bool
)
""")
_SETTLE_AND_READ: Final = sql.SQL(
    "SELECT settled.*, baton.baton_passage(settled.id, %s)::text FROM ({}) AS settled"
).format(_SETTLE)

_SETTLE_ONE: Final = """
SELECT * FROM baton.baton_settle_one(%s::int8, %s::int2, %s::text, %s::text, %s::int2, %s::text[], %s::bool, %s::int4)
"""


class Settler:
    """Settles nodes, in one statement for all jobs that finish at the same time.

    The same transaction may claim promoted jobs for the slots of the finished ones. Then a hop costs one commit,
    without a notification and a fetch.

    Args:
        oban: The instance that runs the jobs.

    Attributes:
        statement: The statement that settles, for callers that execute it in their own transaction.
    """

    def __init__(self, oban: Oban) -> None:
        self._oban = oban
        self._pool = pool_of(oban)
        prefix = prefix_of(oban)
        self.statement = statement(_SETTLE, prefix)
        self._many = self.statement.as_bytes()  # to put a statement together takes longer than to send it
        self._reading = statement(_SETTLE_AND_READ, prefix).as_bytes()
        self._one = statement(_SETTLE_ONE, prefix).as_bytes()
        self._lease = Lease(self._pool)
        self.rest = self._lease.release
        self._park = statement("SELECT baton.baton_park(%s::int8[], %s::int2[])", prefix)

    async def settle(self, finished: Sequence[Finished], is_again: bool) -> list[bool]:
        """Settle nodes as completed or skipped, and start the claimed jobs.

        Args:
            finished: The jobs whose functions have returned.
            is_again: Whether the same call was made before, and may have succeeded without an answer.

        Returns:
            For each, whether its job was completed too; if not, the job already runs elsewhere.
        """
        queues = {each.job.queue for each in finished}
        if is_again:  # the first call may have claimed items of a map, which the statement does not return again
            FETCHES.doubt(self._oban, queues)
        try:
            async with self._lease.connection() as conn:
                cursor = conn.cursor(row_factory=tuple_row)
                if not is_again and len(finished) == 1 and finished[0].is_plain:
                    await cursor.execute(self._one, self._values_of_one(finished[0]))
                    rows = _as_many(finished[0].job, await cursor.fetchone() or ())
                else:
                    values = (*self.values(finished), is_again)
                    if len(finished) <= MOST_FOREKNOWN:
                        await cursor.execute(self._reading, (MOST_BYTES, *values))
                    else:
                        await cursor.execute(self._many, values)
                    rows = await cursor.fetchall()
        except BaseException:  # it may be committed nevertheless, and nobody knows what it claimed
            FETCHES.doubt(self._oban, queues)
            raise
        return self.start_claimed(finished, rows)

    def values(self, finished: Sequence[Finished]) -> tuple[Any, ...]:
        """The parameters of `statement` except the last one, which says whether the same call was made before."""
        jobs = [each.job for each in finished]
        return (
            [job.id for job in jobs],
            [job.attempt for job in jobs],
            [each.result for each in finished],
            [each.reason for each in finished],
            self._slots(jobs),
            any(each.forgets for each in finished),
        )

    def _values_of_one(self, finished: Finished) -> tuple[Any, ...]:
        """What `_one` takes."""
        job = finished.job
        taken_by = _array(*job.attempted_by) if has_place(self._oban, job.queue) else None
        yields = time.monotonic() - _since(job) > LONGEST_STREAK
        return (job.id, job.attempt, finished.result, job.queue, job.priority, taken_by, yields, MOST_BYTES)

    def start_claimed(self, finished: Sequence[Finished], rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Start the jobs that a settle has claimed, and remember those that it acknowledged. Call it after the commit.

        It raises nothing. A job that can't be started is `executing` in the database, but runs nowhere. The next fetch
        of its queue finds such jobs, and a slot is left free for them.

        Args:
            finished: The jobs that were settled.
            rows: The rows that `statement` returned.

        Returns:
            As for `settle`.
        """
        (acknowledged, *_), *claimed = rows
        jobs = [each.job for each in finished]
        since: dict[tuple[str, int], float] = {}
        taken: Counter[tuple[str, int]] = Counter()
        for job in jobs:
            key = (job.queue, job.priority)
            since[key] = min(since.get(key, float("inf")), _since(job))
        for row in claimed:
            fields = dict(zip(_COLUMNS, row[1 : len(_COLUMNS) + 1], strict=True))
            key = (fields["queue"], fields["priority"])
            try:
                self._start(fields, since.get(key, time.monotonic()), row[len(_COLUMNS) + 1 :])
            except Exception:
                logger.exception("job %s was claimed and could not be started; the next fetch finds it", fields["id"])
                FETCHES.doubt(self._oban, {fields["queue"]})
            else:
                taken[key] += 1
        done = set(acknowledged or ())
        for job in jobs:
            if job.id in done:
                ACKNOWLEDGEMENTS.add(job)
                if taken[job.queue, job.priority] > 0:
                    taken[job.queue, job.priority] -= 1
                    job.extra[PLACE_TAKEN] = True
        return [job.id in done for job in jobs]

    def _start(self, fields: dict[str, Any], since: float, read: Sequence[str | None]) -> None:
        """Start one job that a settle has claimed, with what the settle read about it, if anything."""
        extra: dict[str, Any] = {SINCE: since}
        for passage in read:
            if passage is not None:
                extra[FOREKNOWN] = Foreknown(passage_of(passage), time.monotonic())
        dispatch(self._oban, Job(**fields, extra=extra, _validate=False))

    def _slots(self, jobs: Sequence[Job]) -> str:
        """The slots of finished jobs, by queue and priority, without those that claims have used for too long."""
        slots: dict[tuple[str, int], dict[str, Any]] = {}
        now = time.monotonic()
        have_places = {queue for queue in {job.queue for job in jobs} if has_place(self._oban, queue)}
        for job in jobs:
            if job.queue in have_places:
                new = {"queue": job.queue, "priority": job.priority, "places": 0, "by": job.attempted_by}
                slot = slots.setdefault((job.queue, job.priority), {**new, "yields": False})
                slot["places"] += 1
                slot["yields"] |= now - _since(job) > LONGEST_STREAK
        return json.dumps(list(slots.values()))

    async def park(self, jobs: Sequence[Job], _is_again: bool) -> list[None]:
        """Put back jobs that were started before their upstreams had settled."""
        async with autocommit(self._pool) as conn:
            await conn.execute(self._park, ([job.id for job in jobs], [job.attempt for job in jobs]))
        return [None] * len(jobs)


@lru_cache(maxsize=64)
def _array(*texts: str) -> str:
    """Texts as PostgreSQL writes an array of them, kept: psycopg would write it anew for each hop.

    Example:
        >>> _array("node", "uuid")
        '{"node","uuid"}'
    """
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _as_many(job: Job, row: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The answer for one job as that for many has it: what is acknowledged, and then what is claimed."""
    is_acknowledged, *claimed = row
    rows: list[tuple[Any, ...]] = [([job.id] if is_acknowledged else None,)]
    return [*rows, (None, *claimed)] if claimed[0] is not None else rows


def _since(job: Job) -> float:
    began: float = job.extra.get(SINCE, float("-inf"))
    return began
