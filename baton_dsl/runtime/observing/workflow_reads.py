"""The readings of a workflow handle. Each reads one snapshot, even with several queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from baton_dsl.runtime.database import reads
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing import results, status
from baton_dsl.runtime.observing.results import AnyStep, Index
from baton_dsl.runtime.observing.status import NodeStatus, WorkflowStatus


def status_of(workflow_id: str) -> Reading[WorkflowStatus]:
    """The status of the workflow.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    rows = yield reads.WORKFLOW, {"workflow_id": workflow_id}
    return (yield from _status(workflow_id, rows))


def end_of(workflow_id: str) -> Reading[WorkflowStatus | None]:
    """The status of a workflow that has ended; None if it has not.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    rows = yield reads.WORKFLOW, {"workflow_id": workflow_id}
    if status.workflow_row(workflow_id, rows)["outcome"] is None:
        return None
    return (yield from _status(workflow_id, rows))


def _status(workflow_id: str, rows: Sequence[Row]) -> Reading[WorkflowStatus]:
    asked = {"workflow_id": workflow_id}
    counts = yield reads.COUNTS, asked
    items: Sequence[Row] = (yield reads.ITEM_COUNTS, asked) if status.has_maps(counts) else ()
    return status.status_of(workflow_id, rows, counts, items)


def nodes_of(workflow_id: str) -> Reading[list[NodeStatus]]:
    """The status of each step, in topological order; for a mapped step, with the counts of its items."""
    asked = {"workflow_id": workflow_id}
    rows = yield reads.NODES, asked
    return status.nodes_of(rows, (yield reads.ITEM_COUNTS, asked))


def items_of(workflow_id: str, step: AnyStep | str) -> Reading[list[NodeStatus]]:
    """The status of each item of a mapped step, in order.

    Raises:
        StepNotInWorkflowError: BTN408, if the workflow has no such step.
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    name = results.node_name(step, None)
    rows = yield reads.ITEMS, {"workflow_id": workflow_id, "step_name": name}
    if not rows:
        results.check_step(workflow_id, name, (yield reads.STEP_NAMES, {"workflow_id": workflow_id}))
    return status.items_of(rows)


def result_of(workflow_id: str, step: AnyStep | str, index: Index) -> Reading[Any]:
    """The result of a completed step; `Workflow.result` lists the errors."""
    row, lists = yield from _result(workflow_id, step, index)
    return results.decoded(step, row, lists)


def results_of(workflow_id: str, step: AnyStep | str, index: Index, levels: int) -> Reading[list[Any]]:
    """The results of a mapped step; `Workflow.results_of` lists the errors."""
    row, lists = yield from _result(workflow_id, step, index)
    return results.decoded_list(workflow_id, step, levels, row, lists)


def all_results_of(workflow_id: str) -> Reading[Mapping[str, Any]]:
    """The results of all completed steps, by name, in topological order."""
    rows = yield reads.RESULTS, {"workflow_id": workflow_id}
    return results.decoded_by_name(rows, (yield from _collected(workflow_id, rows)))


def _result(workflow_id: str, step: AnyStep | str, index: Index) -> Reading[tuple[Row, Sequence[Row]]]:
    rows = yield reads.RESULT, {"workflow_id": workflow_id, "step_name": results.node_name(step, index)}
    if not rows:
        raise results.missing_node(workflow_id, step, index, (yield reads.STEP_NAMES, {"workflow_id": workflow_id}))
    return rows[0], (yield from _collected(workflow_id, rows))


def _collected(workflow_id: str, rows: Sequence[Row]) -> Reading[Sequence[Row]]:
    names = [row["step_name"] for row in rows if row["is_map"]]
    return (yield reads.COLLECTED, {"workflow_id": workflow_id, "step_names": names}) if names else []
