"""Read the facts that `core/why.py` explains a workflow with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Final, LiteralString

from baton_dsl.core.lifecycle import State
from baton_dsl.core.why import TOLD, NodeFacts, QueueFacts, WorkflowFacts, causes, why
from baton_dsl.errors import StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import Reading, Row

_WORKFLOW: Final[LiteralString] = """
    SELECT outcome, inserted_at, settled_at, paused_at, stopped_at, clock_timestamp() AS now, own.budget,
        coalesce(own.spent, 0) AS spent,
        coalesce(own.budget - own.spent - baton.baton_room(workflow_id, NULL::bigint), 0) AS reserved
    FROM baton.baton_workflows LEFT JOIN baton.baton_budgets AS own USING (workflow_id)
    WHERE workflow_id = %(workflow_id)s
"""

_NODES: Final[LiteralString] = """
    SELECT node.step_name, node.deps, node.outcome, node.by_upstream, node.ignore_cancelled, node.ignore_discarded,
        node.updated_at, node.oban_job_id, map.step_name AS part_of, node.items IS NOT NULL AS has_expanded,
        node.map_id IS NOT NULL AND coalesce(node.held, false) AS is_held,
        CASE WHEN node.is_map THEN 'suspended' ELSE coalesce(job.state::text, 'gone') END AS state,
        job.queue, job.attempt, job.max_attempts, job.scheduled_at, job.attempted_at, job.attempted_by[1] AS runs_on,
        CASE WHEN job.state = 'executing' THEN baton.baton_lives(job.attempted_by[2]) END AS is_alive,
        coalesce((job.meta ->> 'rescued')::integer, 0) + 1 >= coalesce(
            (job.meta ->> 'baton_max_crashes')::integer,
            job.max_attempts - coalesce((job.meta ->> 'rescued')::integer, 0)
        ) AS is_last_crash,
        coalesce(node.reason, job.errors -> -1 ->> 'error') AS error,
        CASE WHEN node.parameters = ARRAY['workflow_model'] AND NOT node.is_map THEN node.item ->> 0 END AS model,
        CASE
            WHEN job.state IN ('scheduled', 'available')
                AND (job.meta #>> '{baton_absent,of}')::timestamptz = job.attempted_at AT TIME ZONE 'UTC'
            THEN job.meta #>> '{baton_absent,reason}'
        END AS absent,
        CASE
            WHEN job.state = 'suspended' THEN (
                SELECT reservation.amount FROM baton.baton_reservations AS reservation
                WHERE reservation.oban_job_id = node.oban_job_id AND reservation.attempt IS NULL
            )
        END AS waits_for
    FROM baton.workflow_nodes AS node
    LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.map_id
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    -- Completed items, of which there may be a hundred thousand, are never a reason.
    WHERE node.workflow_id = %(workflow_id)s
        AND (
            node.map_id IS NULL OR node.is_map OR node.outcome IS DISTINCT FROM 'completed'
            OR node.step_name = %(step)s::text
        )
    ORDER BY node.oban_job_id
"""

_QUEUES: Final[LiteralString] = """
    SELECT producer.queue,
        count(*) AS nodes,
        count(*) FILTER (WHERE coalesce((producer.meta ->> 'paused')::boolean, false)) AS paused,
        coalesce(sum((producer.meta ->> 'local_limit')::integer), 0) AS slots,
        (
            SELECT count(*) FROM baton.oban_jobs AS job WHERE job.state = 'executing' AND job.queue = producer.queue
        ) AS running
    FROM baton.oban_producers AS producer
    WHERE baton.baton_lives(producer.uuid::text)
    GROUP BY producer.queue
"""

# Uses oban_jobs_state_queue_priority_scheduled_at_id_index, and counts at most 10,000.
_AHEAD: Final[LiteralString] = """
    SELECT own.id, (
        SELECT count(*)
        FROM (
            SELECT FROM baton.oban_jobs AS job
            WHERE job.state = 'available'
                AND job.queue = own.queue
                AND (job.priority, job.scheduled_at, job.id) < (own.priority, own.scheduled_at, own.id)
            LIMIT 10000
        ) AS ahead
    ) AS ahead
    FROM baton.oban_jobs AS own
    WHERE own.id = ANY(%(ids)s)
"""


def explain(workflow_id: str, step: str | None, *, zone: tzinfo | None = None) -> Reading[str]:
    """Explain what a workflow or step is waiting for, or why it ended.

    Args:
        workflow_id: The id of the workflow.
        step: The name of the step; None for the workflow.
        zone: The time zone of the moments in the sentence; default: the machine's.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
        StepNotInWorkflowError: BTN408, if it has no such step.
    """
    if step is not None:
        StepNotInWorkflowError.refuse_unstorable(step)
    rows = yield _WORKFLOW, {"workflow_id": workflow_id}
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    nodes = yield _NODES, {"workflow_id": workflow_id, "step": step}
    ids = {node["step_name"]: node["oban_job_id"] for node in nodes}
    if step is not None and step not in ids:
        raise StepNotInWorkflowError.among(workflow_id, step, ids)
    queues = yield _QUEUES, {}
    facts = _facts(rows[0], nodes, queues, zone)
    available = [name for name in causes(facts, step)[:TOLD] if facts.nodes[name].state is State.AVAILABLE]
    if available:
        ahead = yield _AHEAD, {"ids": [ids[name] for name in available]}
        counts = {row["id"]: row["ahead"] for row in ahead}
        counted = {name: replace(facts.nodes[name], ahead=counts.get(ids[name])) for name in available}
        facts = replace(facts, nodes={**facts.nodes, **counted})
    return why(facts, step)


def _facts(workflow: Row, nodes: list[Row], queues: list[Row], zone: tzinfo | None) -> WorkflowFacts:
    return WorkflowFacts(
        now=workflow["now"].astimezone(zone),
        inserted_at=workflow["inserted_at"],
        settled_at=workflow["settled_at"],
        paused_at=workflow["paused_at"],
        stopped_at=workflow["stopped_at"],
        outcome=workflow["outcome"],
        budget=workflow["budget"],
        spent=workflow["spent"],
        reserved=workflow["reserved"],
        nodes={node["step_name"]: _node(node) for node in nodes},
        queues={
            row["queue"]: QueueFacts(
                nodes=row["nodes"], paused=row["paused"], slots=int(row["slots"]), running=row["running"]
            )
            for row in queues
        },
    )


def _node(row: Row) -> NodeFacts:
    return NodeFacts(
        step=row["step_name"],
        state=State(row["state"]),
        upstreams=tuple(row["deps"]),
        outcome=row["outcome"],
        by_upstream=row["by_upstream"],
        ignore_cancelled=row["ignore_cancelled"],
        ignore_discarded=row["ignore_discarded"],
        queue=row["queue"] or "",
        attempt=row["attempt"] or 0,
        max_attempts=row["max_attempts"] or 0,
        scheduled_at=_in_utc(row["scheduled_at"]),
        attempted_at=_in_utc(row["attempted_at"]),
        settled_at=row["updated_at"] if row["outcome"] else None,
        runs_on=row["runs_on"],
        is_alive=row["is_alive"] is not False,
        error=row["error"],
        part_of=row["part_of"],
        has_expanded=row["has_expanded"],
        is_held=row["is_held"],
        is_last_crash=bool(row["is_last_crash"]),
        absent=row["absent"],
        waits_for=row["waits_for"],
        model=row["model"],
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    """Add the zone to a time from Oban's columns, which are UTC without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)
