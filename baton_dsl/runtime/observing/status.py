"""How far a workflow and its nodes have come, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from baton_dsl.core.items import index_of
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.status import WorkflowStatus as WorkflowStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How far one node has come.

    Attributes:
        step: The name of its step.
        state: Oban's: `suspended` (waits for upstreams), `scheduled`, `available`, `executing`, `retryable`,
            `completed`, `cancelled` or `discarded`; or `skipped`. A map is `executing` while its items run.
        deps: The names of its upstreams.
        attempt: How often it was tried.
        max_attempts: After how many tries it is discarded.
        queue: The queue of its job; None once the job is pruned, as are the three before `settled_at`.
        worker: The job's worker.
        error: The last error, if there was one.
        attempted_at: When the last try began; of a map, when the first of its items began to run.
        scheduled_at: When it may run, at the earliest.
        settled_at: When it settled; None until then.
        items: How many items of a mapped step are in each state that any is in; None for a step that is not mapped.
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


def workflow_row(workflow_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one row of a workflow.

    Raises:
        WorkflowNotFoundError: BTN407, if there is none.
    """
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    return rows[0]


def status_of(workflow_id: str, rows: Sequence[dict[str, Any]], counts: Sequence[dict[str, Any]]) -> WorkflowStatus:
    """How far a workflow has come, of the rows of `reads.WORKFLOW` and `reads.COUNTS`."""
    row = workflow_row(workflow_id, rows)
    return WorkflowStatus(
        id=workflow_id,
        name=row["workflow_label"],
        flow=row["flow_name"],
        outcome=row["outcome"],
        counts={count["state"]: count["count"] for count in counts},
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        paused_at=row["paused_at"],
        stopped_at=row["stopped_at"],
    )


def nodes_of(rows: Sequence[dict[str, Any]], counts: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """How far nodes have come, of the rows of `reads.NODES` and `reads.ITEM_COUNTS`."""
    items: dict[int, list[dict[str, Any]]] = {}
    for count in counts:
        items.setdefault(count["root_id"], []).append(count)
    return [_map_of(row, items.get(row["oban_job_id"], [])) if row["is_map"] else node_of(row) for row in rows]


def _map_of(row: dict[str, Any], counts: Sequence[dict[str, Any]]) -> NodeStatus:
    began = min((count["attempted_at"] for count in counts if count["attempted_at"]), default=None)
    return node_of({**row, "attempted_at": began}, {count["state"]: count["count"] for count in counts})


def items_of(rows: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """How far the items of a map have come, in order, of the rows of `reads.ITEMS`, which come as they were made."""
    return sorted(map(node_of, rows), key=lambda item: index_of(item.step) or ())


def node_of(row: dict[str, Any], items: Mapping[str, int] | None = None) -> NodeStatus:
    """How far a node has come, of a row of `reads.NODES` or `reads.ITEMS`."""
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
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
