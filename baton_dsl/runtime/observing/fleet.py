"""List the queues and the processes that run them, with how much waits and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

from baton_dsl.runtime.database.snapshot import Reading, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedQueue:
    """One queue of one Oban node.

    Attributes:
        queue: Its name.
        limit: How many of its jobs the node runs at once.
        is_paused: Whether it is paused on the node.
        running: How many of its jobs run.
    """

    queue: str
    limit: int
    is_paused: bool
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingNode:
    """One process that runs jobs: a node of Oban.

    Attributes:
        name: Its name, which is unique among running processes; default: its host and process id.
        instance: The name of its Oban instance.
        queues: The queues that it runs, by name.
        started_at: When it began.
        seen_at: When it sent its last heartbeat. A process with a guard can be alive without one.
        is_alive: Whether it seems to be alive.
        lost_threads: How many of its threads still run steps that timed out.
        is_leaving: Whether it was asked to stop, and waits for its running jobs.
    """

    name: str
    instance: str
    queues: Sequence[ServedQueue]
    started_at: datetime | None
    seen_at: datetime | None
    is_alive: bool
    lost_threads: int
    is_leaving: bool


MOST_COUNTED: Final = 100_000
"""The most jobs of a queue and a state that are counted. A larger number means: more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """The state of a queue.

    Attributes:
        name: Its name.
        nodes: The names of the live nodes that run it.
        paused: On how many of these nodes it is paused.
        slots: How many jobs these nodes together run at once.
        running: How many of its jobs run.
        ready: How many of its jobs could start now. This and the next two are at most `MOST_COUNTED` and one.
        retrying: How many of its jobs have failed and wait for their next attempt.
        scheduled: How many of its jobs are scheduled for later.
        oldest_ready_at: Since when the oldest ready job has been waiting; None if no job is ready.
        oldest_ready: How long the oldest ready job has been waiting.
    """

    name: str
    nodes: Sequence[str]
    paused: int
    slots: int
    running: int
    ready: int
    retrying: int
    scheduled: int
    oldest_ready_at: datetime | None
    oldest_ready: timedelta | None

    @property
    def is_served(self) -> bool:
        """True if a node runs it on which it is not paused."""
        return len(self.nodes) > self.paused


_PRODUCERS: Final[LiteralString] = """
    SELECT producer.node, producer.name, producer.queue, producer.started_at, producer.updated_at,
        coalesce((producer.meta ->> 'local_limit')::integer, 0) AS local_limit,
        coalesce((producer.meta ->> 'paused')::boolean, false) AS is_paused,
        coalesce((producer.meta ->> 'baton_lost_threads')::integer, 0) AS lost_threads,
        producer.meta ? 'shutdown_started_at' AS is_leaving,
        baton.baton_lives(producer.uuid::text) AS is_alive,
        (
            SELECT count(*)
            FROM baton.oban_jobs AS job
            WHERE job.state = 'executing' AND job.queue = producer.queue AND job.attempted_by[2] = producer.uuid::text
        ) AS running
    FROM baton.oban_producers AS producer
    ORDER BY producer.node, producer.queue
"""

# Jumps from one queue to the next in oban_jobs_state_queue_priority_scheduled_at_id_index, without reading its jobs.
_QUEUES: Final[LiteralString] = """
    WITH RECURSIVE named AS (
        SELECT state, (SELECT min(job.queue) FROM baton.oban_jobs AS job WHERE job.state = waiting.state) AS queue
        FROM unnest(ARRAY['available', 'scheduled', 'retryable', 'executing']::baton.oban_job_state[]) AS waiting(state)
        UNION ALL
        SELECT state, (
            SELECT min(job.queue) FROM baton.oban_jobs AS job WHERE job.state = named.state AND job.queue > named.queue
        )
        FROM named
        WHERE queue IS NOT NULL
    ),
    counted AS (
        SELECT named.queue, named.state::text AS state, (
            SELECT count(*) FROM (
                SELECT FROM baton.oban_jobs AS job
                WHERE job.state = named.state AND job.queue = named.queue
                LIMIT %(most)s
            ) AS found
        ) AS jobs, (
            -- the oldest job of each priority is at the beginning of its part of the index
            SELECT min(first.scheduled_at)
            FROM generate_series(0, 9) AS level
            CROSS JOIN LATERAL (
                SELECT job.scheduled_at
                FROM baton.oban_jobs AS job
                WHERE job.state = named.state
                    AND job.queue = named.queue
                    AND job.priority = level
                    AND named.state <> 'executing'
                ORDER BY job.scheduled_at
                LIMIT 1
            ) AS first
        ) AS oldest
        FROM named
        WHERE named.queue IS NOT NULL
    )
    SELECT queue, state, jobs,
        CASE WHEN oldest <= timezone('UTC', clock_timestamp()) THEN oldest END AS oldest,
        clock_timestamp() AS now
    FROM counted
"""


def nodes() -> Reading[list[ServingNode]]:
    """The processes that run jobs, by name, including dead ones as long as Oban keeps them."""
    rows = yield _PRODUCERS, {}
    by_node: dict[str, list[Row]] = {}
    for row in rows:
        by_node.setdefault(row["node"], []).append(row)
    return [_node(name, found) for name, found in by_node.items()]


def _node(name: str, rows: Sequence[Row]) -> ServingNode:
    return ServingNode(
        name=name,
        instance=rows[0]["name"],
        queues=[
            ServedQueue(
                queue=row["queue"], limit=row["local_limit"], is_paused=row["is_paused"], running=row["running"]
            )
            for row in rows
        ],
        started_at=min((_in_utc(row["started_at"]) for row in rows if row["started_at"]), default=None),
        seen_at=max((_in_utc(row["updated_at"]) for row in rows if row["updated_at"]), default=None),
        is_alive=any(row["is_alive"] for row in rows),
        lost_threads=max(row["lost_threads"] for row in rows),
        is_leaving=any(row["is_leaving"] for row in rows),
    )


def queues() -> Reading[list[QueueStatus]]:
    """The queues that a live node runs or that have a job that has not ended, by name."""
    counts = yield _QUEUES, {"most": MOST_COUNTED + 1}
    producers = yield _PRODUCERS, {}
    waiting, serving = _by_queue(counts), _by_queue(row for row in producers if row["is_alive"])
    names = sorted({*waiting, *serving})
    return [_queue(name, waiting.get(name, ()), serving.get(name, ())) for name in names]


def _by_queue(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["queue"], []).append(row)
    return found


def _queue(name: str, counts: Sequence[Row], producers: Sequence[Row]) -> QueueStatus:
    jobs = {row["state"]: row["jobs"] for row in counts}
    due = [row for row in counts if row["oldest"] is not None]
    oldest = min((_in_utc(row["oldest"]) for row in due), default=None)
    return QueueStatus(
        name=name,
        nodes=[row["node"] for row in producers],
        paused=sum(row["is_paused"] for row in producers),
        slots=sum(row["local_limit"] for row in producers),
        running=jobs.get("executing", 0),
        ready=jobs.get("available", 0),
        retrying=jobs.get("retryable", 0),
        scheduled=jobs.get("scheduled", 0),
        oldest_ready_at=oldest,
        oldest_ready=None if oldest is None else due[0]["now"] - oldest,
    )


def _in_utc(moment: datetime) -> datetime:
    """Add the zone to a time from Oban's columns, which are UTC without a zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
