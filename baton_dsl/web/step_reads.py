"""Read what the page of a step shows besides its record: its neighbours, and the items of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from baton_dsl.errors import StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.llm.reports import Capture
from baton_dsl.runtime.database.reads import STATE
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.record import NodeRecord, record
from baton_dsl.runtime.usage.reports import captures_of
from baton_dsl.web.reads import SHOWN, in_utc

MOST_EXPLAINED: Final = 5_000
"""The most nodes of a workflow whose sentence is part of every page; for more nodes, it is made on request."""
ITEMS_SHOWN: Final = 100
NEIGHBOURS: Final = 200
"""The most neighbours of a step that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemView:
    """One item of a map in a list.

    Attributes:
        step: Its name, such as `orders[3]`.
        place: Its index in the map.
        state: Its outcome; until it has one, the state of its job.
        lasted: Seconds that its last attempt took, or has taken until now; None if there was none.
    """

    step: str
    place: int
    state: str
    attempt: int
    max_attempts: int
    lasted: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """The contents of the page of a step.

    Attributes:
        record: Everything about the node.
        label: The label of its workflow.
        upstreams: Its upstreams, and the state of each.
        downstreams: Its downstream steps, and the state of each.
        items: For a map, its items from the requested one, one more than fit.
        captures: What it exchanged with models, if that was recorded.
        now: The time of the database when this was read.
    """

    record: NodeRecord
    label: str
    upstreams: Sequence[tuple[str, str]]
    downstreams: Sequence[tuple[str, str]]
    items: Sequence[ItemView]
    captures: Sequence[Capture]
    now: datetime


_WORKFLOW: Final[LiteralString] = """
    SELECT workflow_label AS label, clock_timestamp() AS now
    FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s
"""

_SIZE: Final[LiteralString] = """
    SELECT count(*) AS nodes FROM (
        SELECT FROM baton.workflow_nodes WHERE workflow_id = %(workflow_id)s LIMIT %(most)s
    ) AS found
"""

_NEIGHBOURS: Final[LiteralString] = f"""
    SELECT near.is_above, node.step_name, {STATE} AS state
    FROM baton.workflow_nodes AS own
    CROSS JOIN LATERAL (
        SELECT unnest(own.upstreams) AS id, true AS is_above
        UNION ALL
        SELECT unnest(own.downstreams), false
    ) AS near
    JOIN baton.workflow_nodes AS node ON node.oban_job_id = near.id
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE own.workflow_id = %(workflow_id)s AND own.step_name = %(step)s
    ORDER BY node.oban_job_id LIMIT %(most)s
"""

_ITEMS: Final[LiteralString] = f"""
    SELECT node.step_name, node.item_index, node.outcome, node.updated_at, job.attempt, job.max_attempts,
        job.attempted_at, {STATE} AS state, clock_timestamp() AS now
    FROM baton.workflow_nodes AS node
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.map_id = (
            SELECT oban_job_id FROM baton.workflow_nodes
            WHERE workflow_id = %(workflow_id)s AND step_name = %(step)s
        )
        AND node.item_index >= %(first)s
        AND (%(state)s::text IS NULL OR {STATE} = %(state)s)
    ORDER BY node.item_index LIMIT %(most)s
"""


def step(
    workflow_id: str, name: str, *, first: int = 0, state: str | None = None, explained: bool = False
) -> Reading[StepView]:
    """The contents of the page of a step.

    Args:
        workflow_id: The id of its workflow.
        name: Its name.
        first: The index of the first item to show.
        state: Show only items in this state.
        explained: Whether to include the sentence even if the workflow has many nodes.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
        StepNotInWorkflowError: BTN408, if it has no such step.
        ItemNotFoundError: BTN413, if the step has no such item.
    """
    asked = {"workflow_id": workflow_id, "step": name}
    if not explained:
        (counted,) = yield _SIZE, {**asked, "most": MOST_EXPLAINED + 1}
        explained = counted["nodes"] <= MOST_EXPLAINED
    found = yield from record(workflow_id, name, most=SHOWN, explained=explained)
    (workflow,) = yield _WORKFLOW, asked
    near = yield _NEIGHBOURS, {**asked, "most": 2 * NEIGHBOURS}
    items: list[ItemView] = []
    if found.node.items is not None:
        rows = yield _ITEMS, {**asked, "first": first, "state": state, "most": ITEMS_SHOWN + 1}
        for row in rows:
            began, end = in_utc(row["attempted_at"]), row["updated_at"] if row["outcome"] else row["now"]
            items.append(
                ItemView(
                    step=row["step_name"],
                    place=row["item_index"],
                    state=row["state"],
                    attempt=row["attempt"] or 0,
                    max_attempts=row["max_attempts"] or 0,
                    lasted=(end - began).total_seconds() if began else None,
                )
            )
    try:
        captures = yield from captures_of(workflow_id, name)
    except (StepNotInWorkflowError, WorkflowNotFoundError):  # nothing is recorded for a map inside a map
        captures = []
    return StepView(
        record=found,
        label=workflow["label"],
        upstreams=[_neighbour(row) for row in near if row["is_above"]],
        downstreams=[_neighbour(row) for row in near if not row["is_above"]],
        items=items,
        captures=captures,
        now=workflow["now"],
    )


def _neighbour(row: Row) -> tuple[str, str]:
    state = "executing" if row["state"] == "expanded" else row["state"]  # a map, whose items are not counted here
    return row["step_name"], state
