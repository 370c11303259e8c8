"""Which workflows there are, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.status import Standing, standing_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One workflow of a list.

    Attributes:
        id: Its id.
        name: Its label.
        flow: The name of its flow.
        standing: Its outcome; until it has one, `running`, `paused`, or `stopping` if it was cancelled as a whole and
            steps run still.
        steps: How many steps it has; a map is one, however many items it has.
        unsettled: How many of them have not settled.
        cancelled: How many of them were cancelled.
        discarded: How many of them were discarded.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        is_paused: Whether nothing of it starts.
    """

    id: str
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
    SELECT workflow.*, (
        SELECT count(*) FROM baton.workflow_nodes AS node
        WHERE node.workflow_id = workflow.workflow_id AND node.map_id IS NULL
    ) AS steps
    FROM (
        SELECT * FROM baton.baton_workflows WHERE {} ORDER BY inserted_at DESC, workflow_id DESC LIMIT %(most)s
    ) AS workflow
    ORDER BY inserted_at DESC, workflow_id DESC
""")

_ALL: Final = sql.SQL("true")


def workflows(which: WorkflowFilter | None = None, *, most: int | None = None) -> Reading[list[Listed]]:
    """The workflows that meet the conditions, the newest first.

    Args:
        which: The conditions; None is for all there are.
        most: So many at the most; None is for all.

    Example:
        ```python
        await read(database, workflows(WorkflowFilter(outcome="discarded"), most=20))
        ```
    """
    conditions, values = which.conditions if which else (_ALL, {})
    rows = yield _LIST.format(conditions), {**values, "most": most}
    return [_listed(row) for row in rows]


def _listed(row: Row) -> Listed:
    return Listed(
        id=row["workflow_id"],
        name=row["workflow_label"],
        flow=row["flow_name"],
        standing=standing_of(row["outcome"], row["stopped_at"], row["paused_at"]),
        steps=row["steps"],
        unsettled=row["unsettled"],
        cancelled=row["cancelled"],
        discarded=row["discarded"],
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        is_paused=row["paused_at"] is not None,
    )


def count(which: WorkflowFilter) -> Reading[int]:
    """How many workflows meet the conditions."""
    conditions, values = which.conditions
    (row,) = yield sql.SQL("SELECT count(*) AS number FROM baton.baton_workflows WHERE {}").format(conditions), values
    number: int = row["number"]
    return number


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
