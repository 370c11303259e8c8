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
    """One workflow in a list.

    Attributes:
        id: Its id.
        short_id: The shortest beginning of its id that is unique; it is accepted wherever an id is.
        name: Its label.
        flow: The name of its flow.
        standing: Its outcome; until it has one, `running`, `stuck` if it can't progress without help, `paused`, or
            `stopping` if it was cancelled as a whole and steps still run.
        steps: How many steps it has; a map is one, however many items it has.
        unsettled: How many of them have not settled.
        cancelled: How many of them were cancelled.
        discarded: How many of them were discarded.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        is_paused: Whether it is paused, so that no step starts.
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
"""The end of a page of the list: when its last workflow was inserted, and the id of that workflow."""

_BEHIND: Final = sql.SQL("{} AND (inserted_at, workflow_id) < (%(behind)s, %(behind_id)s)")


def workflows(
    which: WorkflowFilter | None = None, *, most: int | None = None, behind: Place | None = None
) -> Reading[list[Listed]]:
    """The workflows that meet the conditions, the newest first.

    Args:
        which: The conditions; None for all workflows.
        most: The most workflows to return; None for all.
        behind: Only workflows after this place in the list: `(listed.inserted_at, listed.id)` of the last one of a
            page.

    Example:
        ```python
        await read(database, workflows(WorkflowFilter(outcome="discarded"), most=20))
        ```
    """
    conditions, values = which.conditions if which else (_ALL, {})
    if behind is not None:
        conditions = _BEHIND.format(conditions)
        values = {**values, "behind": behind[0], "behind_id": behind[1]}
    # Without this, PostgreSQL does not see that the index on outcomes has this order, since NULL equals nothing.
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
"""The least characters of a UUID that are shown: one of version 7 begins with the millisecond of the insert."""


def shortened_id(workflow_id: str, neighbours: Iterable[str | None]) -> str:
    """The shortest unique beginning of an id. An id that is not a UUID was chosen by the user, and is shown whole.

    Args:
        workflow_id: The id.
        neighbours: The ids before and after it in alphabetical order; None where there is none.

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
    """The length of the common beginning of two texts."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def count(which: WorkflowFilter | None = None, *, most: int | None = None) -> Reading[int]:
    """How many workflows meet the conditions.

    Args:
        which: The conditions; None for all workflows.
        most: The number at which counting ends; None counts all.
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
    """The number of workflows with one standing.

    Attributes:
        number: The number found.
        has_more: Whether there may be more, because the count stopped at a limit.
    """

    number: int
    has_more: bool


def counts(*, most: int) -> Reading[dict[Standing, Count]]:
    """The number of workflows with each standing. Stuck workflows do not count as running.

    Args:
        most: The most workflows to count of each outcome, and the most running workflows to read, the oldest first,
                    since those may have a problem.
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

# Read each row of a running workflow once: these conditions need the row, not only the index. `outcome` is NULL but
# # part of the order; without it, PostgreSQL would not use the index that has this order.
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
    """The whole ids for ids that may be shortened to a unique beginning.

    Raises:
        WorkflowNotFoundError: BTN407, if no id or several ids begin that way, or a beginning is blank.
    """
    found: list[str] = []
    for start in given:
        if not start:  # probably an unset variable of a script, not an abbreviation for the only workflow
            raise WorkflowNotFoundError("the id of a workflow is blank")
        if reason := unstorable(start):
            raise WorkflowNotFoundError(f'no workflow has the id "{printable(start)}": {reason}')
        rows = yield _STARTING, {"start": start, "end": start + chr(0x10FFFF)}
        ids = [row["workflow_id"] for row in rows]
        if not ids:
            raise WorkflowNotFoundError(f'there is no workflow "{start}"')
        if ids[0] != start and len(ids) > 1:
            problem = f'the ids of several workflows begin with "{start}", such as {quoted(ids)}'
            raise WorkflowNotFoundError(problem, remedy="write more of the id")
        found.append(ids[0])
    return found


# The ids are collated as "C", so that ids with the same beginning are adjacent, the shortest first.
_STARTING: Final = sql.SQL(
    "SELECT workflow_id FROM baton.baton_workflows WHERE workflow_id >= %(start)s AND workflow_id < %(end)s "
    "ORDER BY workflow_id LIMIT 2"
)
