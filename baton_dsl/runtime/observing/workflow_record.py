"""Read everything about one workflow: its inputs, its steps, their results, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, LiteralString

from baton_dsl.runtime.database import reads
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.observing.status import NodeStatus, WorkflowStatus, items_of, nodes_of, status_of
from baton_dsl.runtime.observing.stored import MOST, StoredJson
from baton_dsl.runtime.observing.why_facts import explain
from baton_dsl.runtime.observing.workflow_filter import is_stuck
from baton_dsl.status import Standing

PREVIEW: Final = 2000
"""The most characters of each step's result that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRecord:
    """Everything about one workflow.

    Attributes:
        status: Its status.
        inputs: The inputs with which it was inserted.
        fingerprint: Identifies the code that inserted it; None if an old version did.
        nodes: The status of each step, in topological order.
        results: The result of each completed step, or its beginning; without maps, whose results are made of their
            items.
        why: The sentence of `baton why`.
        standing: Its outcome, or how it stands until it has one; `stuck` if nothing of it moves.
    """

    status: WorkflowStatus
    inputs: StoredJson
    fingerprint: str | None
    nodes: Sequence[NodeStatus]
    results: Mapping[str, StoredJson]
    why: str
    standing: Standing


_WORKFLOW: Final[LiteralString] = """
    SELECT workflow_id, workflow_label, flow_name, outcome, paused_at, stopped_at, inserted_at, settled_at, fingerprint,
        left(inputs::text, %(most)s::int4) AS inputs, octet_length(inputs::text) AS size
    FROM baton.baton_workflows
    WHERE workflow_id = %(workflow_id)s
"""

_NODES: Final[LiteralString] = f"""
    SELECT {reads.COLUMNS},
        left(node.result::text, %(preview)s::int4) AS result, octet_length(node.result::text) AS size
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
    ORDER BY node.oban_job_id
"""

_ITEMS: Final[LiteralString] = f"""
    SELECT {reads.COLUMNS}
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s
        AND node.root_id = (
            SELECT map.oban_job_id FROM baton.workflow_nodes AS map
            WHERE map.workflow_id = %(workflow_id)s AND map.step_name = %(step)s
        )
        AND NOT node.is_map
    ORDER BY node.oban_job_id
    OFFSET %(skip)s LIMIT %(most)s
"""


def workflow_record(
    workflow_id: str, *, most: int = MOST, preview: int = PREVIEW, zone: tzinfo | None = None
) -> Reading[WorkflowRecord]:
    """Everything about one workflow, in one snapshot.

    Args:
        workflow_id: The id of the workflow.
        most: The most characters of its inputs to read.
        preview: The most characters of each result to read.
        zone: The time zone of the moments in the sentence; default: the machine's.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    asked = {"workflow_id": workflow_id, "most": most, "preview": preview}
    workflows = yield _WORKFLOW, asked
    rows = yield _NODES, asked
    counts = yield reads.ITEM_COUNTS, asked
    states = yield reads.COUNTS, asked
    status = status_of(workflow_id, workflows, states, counts)
    stuck = yield from is_stuck(workflow_id)
    why = yield from explain(workflow_id, None, zone=zone)
    results = {row["step_name"]: StoredJson.of(row["result"], row["size"], preview) for row in rows}
    (row,) = workflows
    inputs = StoredJson.of(row["inputs"], row["size"], most)
    assert inputs is not None
    return WorkflowRecord(
        status=status,
        inputs=inputs,
        fingerprint=row["fingerprint"],
        nodes=nodes_of(rows, counts),
        results={name: result for name, result in results.items() if result is not None},
        why=why,
        standing="stuck" if stuck else status.standing,
    )


def items(workflow_id: str, step: str, *, most: int, skip: int = 0) -> Reading[list[NodeStatus]]:
    """Some of the items of a map, in order of creation.

    Args:
        workflow_id: The id of the workflow.
        step: The name of the mapped step.
        most: The most items to return.
        skip: How many items to skip before them.
    """
    rows = yield _ITEMS, {"workflow_id": workflow_id, "step": step, "most": most, "skip": skip}
    return items_of(rows)
