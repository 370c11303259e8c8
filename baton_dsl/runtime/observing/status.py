"""The status of a workflow and its nodes, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from baton_dsl.core.items import index_of, labelled
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.status import WorkflowStatus as WorkflowStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """The status of one node.

    Attributes:
        step: The name of its step.
        state: Oban's: `suspended` (waits for upstreams), `scheduled`, `available`, `executing`, `retryable`,
            `completed`, `cancelled` or `discarded`; or `skipped`. A map with items is `executing` while one of them is;
            otherwise its state follows from its items, see `state_of_items`.
        deps: The names of its upstreams.
        attempt: The number of attempts so far.
        max_attempts: The number of attempts after which it is discarded.
        queue: The queue of its job; None after the job is pruned, like `error`, `attempted_at` and `scheduled_at`.
        worker: The job's worker.
        error: The last error, if there was one.
        attempted_at: When the last attempt began; for a map, when the first of its running items began.
        scheduled_at: The earliest time at which it may run.
        settled_at: When it settled; None until then.
        items: For a mapped step, how many of its items are in each state; None for other steps. The items of a step of
            several models are its models.
        model: The model that was chosen for it; None if there is none, or it is no longer known.
    """

    step: str
    state: str
    deps: tuple[str, ...]
    attempt: int
    max_attempts: int
    queue: str | None
    worker: str
    error: str | None
    attempted_at: datetime | None
    scheduled_at: datetime | None
    settled_at: datetime | None
    items: Mapping[str, int] | None = None
    model: str | None = None

    @property
    def label(self) -> str:
        """Its name, for an item of a step of several models with its model: `assess[0] (anthropic:a)`."""
        return labelled(self.step, self.model)


def workflow_row(workflow_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one row of a workflow.

    Raises:
        WorkflowNotFoundError: BTN407, if there is none.
    """
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    return rows[0]


def state_of_items(counts: Mapping[str, int]) -> str:
    """The state of an unsettled map, from its items: that of the items that are furthest but not settled.

    Example:
        >>> state_of_items({"completed": 3, "available": 5}), state_of_items({"executing": 1, "available": 5})
        ('available', 'executing')
    """
    return next(
        (state for state in ("executing", "available", "retryable", "scheduled") if counts.get(state)), "suspended"
    )


def has_maps(counts: Sequence[dict[str, Any]]) -> bool:
    """Whether the rows of `reads.COUNTS` contain a map whose items decide its state."""
    return any(count["maps"] for count in counts)


def status_of(
    workflow_id: str,
    rows: Sequence[dict[str, Any]],
    counts: Sequence[dict[str, Any]],
    items: Sequence[dict[str, Any]] = (),
) -> WorkflowStatus:
    """The status of a workflow, from the rows of `reads.WORKFLOW` and `reads.COUNTS`.

    Args:
        workflow_id: The id of the workflow.
        rows: The rows of `reads.WORKFLOW`.
        counts: The rows of `reads.COUNTS`.
        items: The rows of `reads.ITEM_COUNTS`, if `has_maps` is true.
    """
    row = workflow_row(workflow_id, rows)
    states = {count["state"]: count["count"] for count in counts if not count["maps"]}
    for count in counts:
        for root in count["maps"] or ():
            state = state_of_items({item["state"]: item["count"] for item in items if item["root_id"] == root})
            states[state] = states.get(state, 0) + 1
    return WorkflowStatus(
        id=workflow_id,
        name=row["workflow_label"],
        flow=row["flow_name"],
        outcome=row["outcome"],
        counts=states,
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        paused_at=row["paused_at"],
        stopped_at=row["stopped_at"],
    )


def nodes_of(rows: Sequence[dict[str, Any]], counts: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """The status of each node, from the rows of `reads.NODES` and `reads.ITEM_COUNTS`."""
    items: dict[int, list[dict[str, Any]]] = {}
    for count in counts:
        items.setdefault(count["root_id"], []).append(count)
    return [_map_of(row, items.get(row["oban_job_id"], [])) if row["is_map"] else node_of(row) for row in rows]


def _map_of(row: dict[str, Any], counts: Sequence[dict[str, Any]]) -> NodeStatus:
    began = min((count["attempted_at"] for count in counts if count["attempted_at"]), default=None)
    items = {count["state"]: count["count"] for count in counts}
    state = state_of_items(items) if row["state"] == "expanded" else row["state"]
    return node_of({**row, "attempted_at": began, "state": state}, items)


def items_of(rows: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """The status of each item of a map, in order, from the rows of `reads.ITEMS`, which are in order of creation."""
    return sorted(map(node_of, rows), key=lambda item: index_of(item.step) or ())


def node_of(row: dict[str, Any], items: Mapping[str, int] | None = None) -> NodeStatus:
    """The status of a node, from a row of `reads.NODES` or `reads.ITEMS`."""
    return NodeStatus(
        step=row["step_name"],
        state=row["state"],
        deps=tuple(row["deps"]),
        attempt=row["attempt"] or 0,
        max_attempts=row["max_attempts"] or 0,
        queue=row["queue"],
        worker=row["worker"],
        error=row["error"],
        attempted_at=_in_utc(row["attempted_at"]),
        scheduled_at=_in_utc(row["scheduled_at"]),
        settled_at=row["updated_at"] if row["outcome"] else None,
        items=items,
        model=row["model"],
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
