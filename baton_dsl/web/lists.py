"""The list of workflows: filters that are links, counts that are bounded, pages that begin behind the last row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg import sql
from starlette.responses import RedirectResponse, Response

from baton_dsl.core.wording import unstorable
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.status import Standing, standing_of
from baton_dsl.web.access import Refused
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

PAGE: Final = 50
"""Workflows of one page."""
MOST_COUNTED: Final = 1_000
"""What is counted exactly; beyond, a page says `1,000+`."""
MOST_FLOWS: Final = 40

AGES: Final[Mapping[str, tuple[str, timedelta, bool]]] = {
    "1h": ("last hour", timedelta(hours=1), True),
    "1d": ("last day", timedelta(days=1), True),
    "7d": ("last week", timedelta(days=7), True),
    "over-1h": ("older than an hour", timedelta(hours=1), False),
    "over-1d": ("older than a day", timedelta(days=1), False),
    "over-7d": ("older than a week", timedelta(days=7), False),
}
STANDINGS: Final = ("running", "stuck", "paused", "completed", "cancelled", "discarded")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedView:
    """One workflow of the list.

    Attributes:
        id: Its id.
        label: Its label.
        flow: The name of its flow.
        standing: How it stands.
        is_stuck: Whether nothing of it goes on by itself.
        steps: How many steps it has; at the most as many as are counted.
        settled: How many of them have settled.
        cancelled: How many were cancelled.
        discarded: How many were discarded.
        lasted: Seconds from its insert to its end, or until now.
    """

    id: str
    label: str
    flow: str
    standing: Standing
    is_stuck: bool
    steps: int
    settled: int
    cancelled: int
    discarded: int
    inserted_at: datetime
    settled_at: datetime | None
    lasted: float

    @property
    def counts(self) -> Mapping[str, int]:
        """What its bar shows."""
        ended = max(self.settled - self.cancelled - self.discarded, 0)
        open_steps = max(self.steps - self.settled, 0)
        return {
            "completed": ended,
            "cancelled": self.cancelled,
            "discarded": self.discarded,
            "suspended": open_steps,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which workflows are wanted: those that meet every condition that is given."""

    standing: str = ""
    flow: str = ""
    label: str = ""
    age: str = ""
    start: str = ""

    @property
    def is_given(self) -> bool:
        """Whether there is any condition."""
        return any((self.standing, self.flow, self.label, self.age, self.start))

    def conditions(self) -> tuple[list[sql.SQL], dict[str, Any]]:
        """Conditions on rows of `baton_workflows`, and their parameters."""
        given: list[sql.SQL] = []
        values: dict[str, Any] = {}
        match self.standing:
            case "running":
                given.append(sql.SQL("outcome IS NULL"))
            case "paused":
                given.append(sql.SQL("outcome IS NULL AND paused_at IS NOT NULL"))
            case "stuck":
                given.append(sql.SQL("outcome IS NULL AND paused_at IS NULL"))
                given.append(_STUCK)
            case "completed" | "cancelled" | "discarded":
                given.append(sql.SQL("outcome = %(outcome)s"))
                values["outcome"] = self.standing
        if self.flow:
            given.append(sql.SQL("flow_name = %(flow)s"))
            values["flow"] = self.flow
        if self.label:
            given.append(sql.SQL("workflow_label = %(label)s"))
            values["label"] = self.label
        if self.age:
            _, age, is_newer = AGES[self.age]
            compared = "inserted_at >= now() - %(age)s" if is_newer else "inserted_at < now() - %(age)s"
            given.append(sql.SQL(compared))
            values["age"] = age
        if self.start:
            given.append(sql.SQL("workflow_id >= %(start)s AND workflow_id < %(end)s"))
            values |= {"start": self.start, "end": self.start + chr(0x10FFFF)}
        return given, values


# Nothing of it goes on by itself: no step runs in a process that lives, none waits for a moment or for a queue that a
# node runs. Only workflows in flight are asked, and of each as many steps as are open until one is found.
_STUCK: Final = sql.SQL("""
    NOT EXISTS (
        SELECT FROM baton.workflow_nodes AS node JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.workflow_id = workflow.workflow_id AND node.outcome IS NULL
            AND job.state IN ('executing', 'scheduled', 'retryable', 'available')
            AND (
                job.state = 'executing' AND baton.baton_lives(job.attempted_by[2])
                OR EXISTS (
                    SELECT FROM baton.oban_producers AS producer
                    WHERE producer.queue = job.queue AND NOT coalesce((producer.meta ->> 'paused')::boolean, false)
                )
            )
    )
""")

_LIST: Final = sql.SQL("""
    SELECT workflow.*, clock_timestamp() AS now, outcome IS NULL AND paused_at IS NULL AND {stuck} AS is_stuck, (
        SELECT count(*) FROM (
            SELECT FROM baton.workflow_nodes AS node
            WHERE node.workflow_id = workflow.workflow_id AND node.map_id IS NULL LIMIT %(counted)s
        ) AS step
    ) AS steps
    FROM (
        SELECT workflow_id, workflow_label, flow_name, outcome, inserted_at, settled_at, paused_at, stopped_at,
            unsettled, cancelled, discarded
        FROM baton.baton_workflows AS workflow WHERE {conditions}
        ORDER BY inserted_at DESC, workflow_id DESC LIMIT %(most)s
    ) AS workflow
    ORDER BY inserted_at DESC, workflow_id DESC
""")


def listed(wanted: Filter, *, behind: tuple[datetime, str] | None = None, most: int) -> Reading[list[ListedView]]:
    """Workflows, the newest first.

    Args:
        wanted: The conditions.
        behind: The moment of insert and the id of the last row of the page before.
        most: So many at the most.
    """
    given, values = wanted.conditions()
    if behind is not None:
        given.append(sql.SQL("(inserted_at, workflow_id) < (%(at)s, %(before)s)"))
        values |= {"at": behind[0], "before": behind[1]}
    conditions = sql.SQL(" AND ").join(given) if given else sql.SQL("true")
    rows = yield (
        _LIST.format(conditions=conditions, stuck=_STUCK),
        {**values, "most": most, "counted": MOST_COUNTED},
    )
    return [_listed(row) for row in rows]


def _listed(row: Row) -> ListedView:
    steps = max(row["steps"], row["unsettled"])
    return ListedView(
        id=row["workflow_id"],
        label=row["workflow_label"],
        flow=row["flow_name"],
        standing=standing_of(row["outcome"], row["stopped_at"], row["paused_at"]),
        is_stuck=row["is_stuck"],
        steps=steps,
        settled=steps - row["unsettled"],
        cancelled=row["cancelled"],
        discarded=row["discarded"],
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        lasted=((row["settled_at"] or row["now"]) - row["inserted_at"]).total_seconds(),
    )


_COUNTS: Final[LiteralString] = """
    SELECT standing, (
        CASE standing
            WHEN 'running' THEN (
                SELECT count(*) FROM (
                    SELECT FROM baton.baton_workflows WHERE outcome IS NULL LIMIT %(most)s
                ) AS found
            )
            WHEN 'paused' THEN (
                SELECT count(*) FROM (
                    SELECT FROM baton.baton_workflows WHERE outcome IS NULL AND paused_at IS NOT NULL LIMIT %(most)s
                ) AS found
            )
            ELSE (
                SELECT count(*) FROM (
                    SELECT FROM baton.baton_workflows WHERE outcome = standing LIMIT %(most)s
                ) AS found
            )
        END
    ) AS count
    FROM unnest(ARRAY['running', 'paused', 'completed', 'cancelled', 'discarded']) AS standing
"""

# One look into the index for each name, however many workflows have it.
_FLOWS: Final[LiteralString] = """
    WITH RECURSIVE flow(name) AS (
        (SELECT flow_name FROM baton.baton_workflows ORDER BY flow_name LIMIT 1)
        UNION ALL
        SELECT (
            SELECT flow_name FROM baton.baton_workflows WHERE flow_name > flow.name ORDER BY flow_name LIMIT 1
        )
        FROM flow WHERE flow.name IS NOT NULL
    )
    SELECT name FROM flow WHERE name IS NOT NULL LIMIT %(most)s
"""


def counts() -> Reading[Mapping[str, int]]:
    """How many workflows stand so, each counted up to a bound."""
    rows = yield _COUNTS, {"most": MOST_COUNTED + 1}
    return {row["standing"]: row["count"] for row in rows}


def flows() -> Reading[Sequence[str]]:
    """The names of flows that there are workflows of."""
    rows = yield _FLOWS, {"most": MOST_FLOWS}
    return [row["name"] for row in rows]


def filter_of(visit: Visit) -> Filter:
    """The conditions that the query of a page names.

    Raises:
        Refused: If one of them is none that there is.
    """
    wanted = Filter(
        standing=visit.asked("standing"),
        flow=visit.asked("flow"),
        label=visit.asked("label"),
        age=visit.asked("age"),
        start=visit.asked("q").strip(),
    )
    if wanted.standing not in ("", *STANDINGS):
        raise Refused(400, "No such filter", f"No workflow stands “{wanted.standing}”.")
    if wanted.age not in ("", *AGES):
        raise Refused(400, "No such filter", f"“{wanted.age}” is no age.")
    for text in (wanted.flow, wanted.label, wanted.start):
        if reason := unstorable(text):
            raise Refused(400, "No such filter", f"Nothing has such a name: {reason}.")
    return wanted


def _behind(visit: Visit) -> tuple[datetime, str] | None:
    at, before = visit.asked("at"), visit.asked("before")
    if not at:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise Refused(400, "No such page", f"“{at}” is no moment.") from None
    if unstorable(before) or moment.tzinfo is None:
        raise Refused(400, "No such page", "Nothing stands there.")
    return moment, before


async def workflows(visit: Visit) -> Response:
    """The page."""
    wanted, behind = filter_of(visit), _behind(visit)
    found, counted, names = await visit.read(_page(wanted, behind))
    if wanted.start and not behind and len(found) == 1 and not visit.request.headers.get("hx-request"):
        return RedirectResponse(visit.url("/workflow", id=found[0].id), 303)
    shown = found[:PAGE]
    further = None
    if len(found) > PAGE:
        further = visit.url_with(at=shown[-1].inserted_at.isoformat(), before=shown[-1].id)
    return render(
        visit,
        "workflows.html",
        wanted=wanted,
        workflows=shown,
        counts=counted,
        most=MOST_COUNTED,
        flows=names,
        ages=AGES,
        standings=STANDINGS,
        further=further,
        is_first=behind is None,
    )


def _page(
    wanted: Filter, behind: tuple[datetime, str] | None
) -> Reading[tuple[list[ListedView], Mapping[str, int], Sequence[str]]]:
    found = yield from listed(wanted, behind=behind, most=PAGE + 1)
    counted = yield from counts()
    names = yield from flows()
    return found, counted, names
