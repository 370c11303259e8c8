"""Compare the outcomes of workflows whose processes died with the expected outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg

from tests.crashes.shapes import Case, Expected


def differences(conn: psycopg.Connection[Any], cases: Mapping[str, Case]) -> list[str]:
    """A sentence for each node whose state differs from the pure model; `cases` are by workflow id."""
    wrong: list[str] = []
    for workflow_id, case in cases.items():
        rows = conn.execute(
            "SELECT step_name, outcome, by_upstream, result, state::text, is_map FROM workflow_nodes "
            "LEFT JOIN oban_jobs ON id = oban_job_id WHERE workflow_id = %s",
            [workflow_id],
        ).fetchall()
        found = {name: (outcome, by, result) for name, outcome, by, result, *_ in rows}
        wanted = {name: _as_stored(expected) for name, expected in case.expected.items()}
        wrong += [
            f'node "{name}" of {case.flow.name} {workflow_id} is {found.get(name)}, not {wanted.get(name)}'
            for name in found.keys() | wanted.keys()
            if found.get(name) != wanted.get(name)
        ]
        wrong += [
            f'the job of node "{name}" of {workflow_id} is {state}, its node {outcome}'
            for name, outcome, _, _, state, is_map in rows
            if not is_map and state not in _STATES.get(outcome, {outcome})
        ]
    return wrong


_STATES = {"skipped": {"completed", "cancelled"}}
"""The states of the job of a node, where they are not called like its outcome."""


def _as_stored(expected: Expected) -> tuple[str, bool, Any]:
    return expected.outcome, expected.by_upstream, expected.result


def unsettled(conn: psycopg.Connection[Any]) -> int:
    """Nodes that have not settled."""
    return _number(conn, "SELECT count(*) FROM workflow_nodes WHERE outcome IS NULL")


def running(conn: psycopg.Connection[Any]) -> int:
    """Workflows that have not ended."""
    return _number(conn, "SELECT count(*) FROM baton_workflows WHERE outcome IS NULL")


def run_again(conn: psycopg.Connection[Any]) -> int:
    """Functions that ran although the result of their step was stored."""
    return _number(conn, "SELECT count(*) FROM crash_runs WHERE seen = 'completed'")


def run_beside(conn: psycopg.Connection[Any]) -> int:
    """Functions that ran while an earlier run, which returned later, was still running."""
    return _number(
        conn,
        "SELECT count(*) FROM crash_runs AS one JOIN crash_runs AS other USING (job_id) "
        "WHERE one.began < other.began AND one.ended > other.began",
    )


def made_up(conn: psycopg.Connection[Any]) -> int:
    """Steps that completed with a result that none of their recorded runs returned."""
    return _number(
        conn,
        "SELECT count(*) FROM workflow_nodes JOIN oban_jobs ON id = oban_job_id "
        "WHERE outcome = 'completed' AND oban_jobs.worker LIKE 'baton_dsl.steps.%' AND NOT EXISTS ("
        "SELECT FROM crash_runs WHERE job_id = oban_job_id AND returned = result::jsonb)",
    )


@dataclass(frozen=True)
class Excuse:
    """A period in which a process, or all of them, could not show that they live.

    Attributes:
        since: When it began, in seconds since the epoch.
        until: When all that could follow from it was over.
        pid: Whom it met; None means everybody.
    """

    since: float
    until: float
    pid: int | None = None


def healthy_run_twice(conn: psycopg.Connection[Any], excuses: Iterable[Excuse]) -> list[str]:
    """A sentence for each function that started again while it ran in a reachable process."""
    rows = conn.execute(
        "SELECT one.job_id, one.pid, extract(epoch FROM one.began)::float, extract(epoch FROM other.began)::float, "
        "other.pid FROM crash_runs AS one JOIN crash_runs AS other USING (job_id) "
        "WHERE one.began < other.began AND one.ended > other.began"
    ).fetchall()
    known = list(excuses)
    return [
        f"job {job_id} ran in process {pid} since {began:.1f}, and in {other} since {again:.1f}"
        for job_id, pid, began, again, other in rows
        if not any(each.pid in (None, pid) and each.since <= again and each.until >= began for each in known)
    ]


def recovered(conn: psycopg.Connection[Any]) -> int:
    """Workflows of which a step was given back because its process was gone."""
    return _number(
        conn,
        "SELECT count(DISTINCT meta ->> 'workflow_id') FROM oban_jobs WHERE errors::text LIKE '%BTN508%'",
    )


@dataclass(frozen=True)
class Delays:
    """Seconds from the death of a process to the next start of each function that it ran."""

    seconds: list[float]

    def __str__(self) -> str:
        if not self.seconds:
            return "none measured"
        ordered = sorted(self.seconds)
        worst = ordered[int(len(ordered) * 0.95)]
        return f"{len(ordered)} measured, median {median(ordered):.1f} s, 95 % {worst:.1f} s, most {ordered[-1]:.1f} s"


def delays(conn: psycopg.Connection[Any], deaths: Mapping[int, float], cancelled: Iterable[str] = ()) -> Delays:
    """How long dead processes' functions took to start again, except in cancelled workflows."""
    rows = conn.execute(
        "SELECT cut.pid, (SELECT extract(epoch FROM min(later.began))::float FROM crash_runs AS later "
        "WHERE later.job_id = cut.job_id AND later.began > cut.began) FROM crash_runs AS cut "
        "JOIN workflow_nodes ON oban_job_id = cut.job_id WHERE cut.ended IS NULL AND workflow_id <> ALL(%s)",
        [list(cancelled)],
    ).fetchall()
    return Delays([began - deaths[pid] for pid, began in rows if began is not None and pid in deaths])


def _number(conn: psycopg.Connection[Any], query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
