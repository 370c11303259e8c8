"""List workflows, with the progress of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg import sql

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.workflow_filter import STUCK, WorkflowFilter
from baton_dsl.status import Standing, standing_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One workflow of a list.

    Attributes:
        id: Its id.
        short_id: As much of it as no other workflow's id begins with; it can be given wherever an id is.
        name: Its label.
        flow: The name of its flow.
        standing: Its outcome; until it has one, `running`, `stuck` if nothing of it moves by itself, `paused`, or
            `stopping` if it was cancelled as a whole and steps run still.
        steps: How many steps it has; a map is one, however many items it has.
        unsettled: How many of them have not settled.
        cancelled: How many of them were cancelled.
        discarded: How many of them were discarded.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        is_paused: Whether nothing of it starts.
    """

    id: str
    short_id: str
    name: str
    flow: str
    standing: Standing
    steps: int
    unsettled: int
    cancelled: int
    discarded: int
    inserted_at: datetime
    settled_at: datetime | None
    is_paused: bool


_LIST: Final = sql.SQL("""
    SELECT workflow.*, coalesce(workflow.steps, (
        SELECT count(*) FROM baton.workflow_nodes AS node
        WHERE node.workflow_id = workflow.workflow_id AND node.map_id IS NULL
    )) AS size, (
        SELECT max(workflow_id) FROM baton.baton_workflows AS other WHERE other.workflow_id < workflow.workflow_id
    ) AS before, (
        SELECT min(workflow_id) FROM baton.baton_workflows AS other WHERE other.workflow_id > workflow.workflow_id
    ) AS after
    FROM (
        SELECT *, {} AS is_stuck
        FROM (
            SELECT * FROM baton.baton_workflows WHERE {} ORDER BY {}inserted_at DESC, workflow_id DESC LIMIT %(most)s
        ) AS baton_workflows
    ) AS workflow
    ORDER BY inserted_at DESC, workflow_id DESC
""")

_ALL: Final = sql.SQL("true")


type Place = tuple[datetime, str]
"""Where a page of the list ends: when its last workflow was inserted, and its id."""

_BEHIND: Final = sql.SQL("{} AND (inserted_at, workflow_id) < (%(behind)s, %(behind_id)s)")


def workflows(
    which: WorkflowFilter | None = None, *, most: int | None = None, behind: Place | None = None
) -> Reading[list[Listed]]:
    """The workflows that meet the conditions, the newest first.

    Args:
        which: The conditions; None is for all there are.
        most: So many at the most; None is for all.
        behind: Only those behind a place in the list: `(listed.inserted_at, listed.id)` of the last one of a page.

    Example:
        ```python
        await read(database, workflows(WorkflowFilter(outcome="discarded"), most=20))
        ```
    """
    conditions, values = which.conditions if which else (_ALL, {})
    if behind is not None:
        conditions = _BEHIND.format(conditions)
        values = {**values, "behind": behind[0], "behind_id": behind[1]}
    # Else PostgreSQL does not take the index on outcomes for one of that order, since what is NULL equals nothing.
    first = sql.SQL("outcome DESC, " if which and which.is_running else "")
    rows = yield _LIST.format(sql.SQL(STUCK), conditions, first), {**values, "most": most}
    return [_listed(row) for row in rows]


def _listed(row: Row) -> Listed:
    return Listed(
        id=row["workflow_id"],
        short_id=shortened_id(row["workflow_id"], (row["before"], row["after"])),
        name=row["workflow_label"],
        flow=row["flow_name"],
        standing="stuck" if row["is_stuck"] else standing_of(row["outcome"], row["stopped_at"], row["paused_at"]),
        steps=row["size"],
        unsettled=row["unsettled"],
        cancelled=row["cancelled"],
        discarded=row["discarded"],
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        is_paused=row["paused_at"] is not None,
    )


SHORTEST: Final = 13
"""Characters of a UUID that are shown at least: those of version 7 begin with the millisecond of their insert."""


def shortened_id(workflow_id: str, neighbours: Iterable[str | None]) -> str:
    """As much of an id as tells it from all others; whoever chose an id that is no UUID wants to read it whole.

    Args:
        workflow_id: The id.
        neighbours: Those before and after it, in the order of their characters; None where there is none.

    Example:
        >>> one, other = "01932c07-f3ab-7011-8f4e-0c5d9a1b2c3d", "01932c07-f3ab-7022-9f4e-0c5d9a1b2c3d"
        >>> shortened_id(one, [None, other]), shortened_id(one, []), shortened_id("order-4711", [])
        ('01932c07-f3ab-701', '01932c07-f3ab', 'order-4711')
    """
    if _UUID.fullmatch(workflow_id) is None:
        return workflow_id
    common = max((_common(workflow_id, other) for other in neighbours if other), default=0)
    length = max(SHORTEST, common + 1)
    return workflow_id[: length + 1 if workflow_id[length - 1] == "-" else length]


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def count(which: WorkflowFilter | None = None, *, most: int | None = None) -> Reading[int]:
    """How many workflows meet the conditions.

    Args:
        which: The conditions; None is for all there are.
        most: Counting ends there; None counts all.
    """
    conditions, values = which.conditions if which else (_ALL, {})
    (row,) = yield _COUNT.format(conditions), {**values, "most": most}
    number: int = row["number"]
    return number


_COUNT: Final = sql.SQL("""
    SELECT count(*) AS number FROM (SELECT FROM baton.baton_workflows WHERE {} LIMIT %(most)s) AS found
""")


@dataclass(frozen=True, slots=True)
class Count:
    """How many workflows stand in one way.

    Attributes:
        number: As many as were found.
        has_more: Whether there may be more, because counting ended.
    """

    number: int
    has_more: bool


def counts(*, most: int) -> Reading[dict[Standing, Count]]:
    """How many workflows stand how. Those that are stuck are not counted as running.

    Args:
        most: So many are counted of each outcome; and so many of those under way are looked at, the oldest ones, which
            are those that something may be wrong with.
    """
    (row,) = yield _COUNTS, {"most": most, "beyond": most + 1}
    under_way = {standing: row[standing] for standing in _UNDER_WAY}
    under_way["running"] -= under_way["stuck"]
    found = {standing: Count(number, row["has_more"]) for standing, number in under_way.items()}
    return found | {outcome: Count(min(row[outcome], most), row[outcome] > most) for outcome in _ENDED}


_UNDER_WAY: Final[dict[Standing, LiteralString]] = {
    "running": "paused_at IS NULL AND stopped_at IS NULL",
    "stuck": STUCK,
    "paused": "stopped_at IS NULL AND paused_at IS NOT NULL",
    "stopping": "stopped_at IS NOT NULL",
}
_ENDED: Final[tuple[Standing, ...]] = ("completed", "cancelled", "discarded")

# One look at the rows of those under way: each of these conditions needs the row, not only the index. The
# outcome, which is NULL, is in the order, since else PostgreSQL does not take the index for one of that order.
_COUNTS: Final = sql.SQL("""
    WITH under_way AS MATERIALIZED (
        SELECT workflow_id, outcome, paused_at, stopped_at FROM baton.baton_workflows
        WHERE outcome IS NULL ORDER BY outcome, inserted_at LIMIT %(most)s
    )
    SELECT {standings}, {outcomes},
        EXISTS (
            SELECT FROM baton.baton_workflows WHERE outcome IS NULL OFFSET %(most)s
        ) AS has_more
""").format(
    standings=sql.SQL(", ").join(
        sql.SQL("(SELECT count(*) FROM under_way AS baton_workflows WHERE {}) AS {}").format(
            sql.SQL(condition), sql.Identifier(standing)
        )
        for standing, condition in _UNDER_WAY.items()
    ),
    outcomes=sql.SQL(", ").join(
        sql.SQL(
            "(SELECT count(*) FROM ("
            "SELECT FROM baton.baton_workflows WHERE outcome = {} LIMIT %(beyond)s) AS found) AS {}"
        ).format(sql.Literal(outcome), sql.Identifier(outcome))
        for outcome in _ENDED
    ),
)


def full_ids(given: Sequence[str]) -> Reading[list[str]]:
    """The ids that are given, each whole or by a beginning that no other id shares.

    Raises:
        WorkflowNotFoundError: BTN407, if none begins so, or more than one does; or one is blank.
    """
    found: list[str] = []
    for start in given:
        if not start:  # such as a variable of a script that is not set: nobody means the only workflow that there is
            raise WorkflowNotFoundError("the id of a workflow is blank")
        if reason := unstorable(start):
            raise WorkflowNotFoundError(f'no workflow has the id "{printable(start)}": {reason}')
        rows = yield _STARTING, {"start": start, "end": start + chr(0x10FFFF)}
        ids = [row["workflow_id"] for row in rows]
        if not ids:
            raise WorkflowNotFoundError(f'there is no workflow "{start}"')
        if ids[0] != start and len(ids) > 1:
            told = f'the ids of several workflows begin with "{start}", such as {quoted(ids)}'
            raise WorkflowNotFoundError(told, remedy="write more of it")
        found.append(ids[0])
    return found


# The ids are collated as "C", so that those with one beginning lie side by side, the shortest first.
_STARTING: Final = sql.SQL(
    "SELECT workflow_id FROM baton.baton_workflows WHERE workflow_id >= %(start)s AND workflow_id < %(end)s "
    "ORDER BY workflow_id LIMIT 2"
)
