"""Read the usage of workflows, and what their steps exchanged with models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final, LiteralString

from psycopg import sql

from baton_dsl.core.items import step_of
from baton_dsl.errors import StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.llm.reports import Capture, Totals, WorkflowUsage
from baton_dsl.llm.usage import TOKENS, Usage
from baton_dsl.runtime.database.snapshot import Reading, Row

UNKNOWN_MODEL: Final = "unknown"
"""The name under which calls without a model are counted."""

SUMS: Final[LiteralString] = """
    count(*) AS calls, sum(usage.input_tokens)::int8 AS input, sum(usage.cached_tokens)::int8 AS cached,
    sum(usage.cache_write_tokens)::int8 AS cache_write, sum(usage.output_tokens)::int8 AS output,
    sum(usage.reasoning_tokens)::int8 AS reasoning,
    coalesce(extract(epoch FROM sum(usage.latency)), 0)::float8 AS latency,
    coalesce(sum(usage.cost), 0) AS cost, count(*) FILTER (WHERE usage.cost IS NULL) AS unpriced
"""

_WORKFLOW: Final[LiteralString] = """
    SELECT own.budget, own.spent
    FROM baton.baton_workflows LEFT JOIN baton.baton_budgets AS own USING (workflow_id)
    WHERE workflow_id = %(workflow_id)s
"""

_USAGE: Final = sql.SQL("""
    SELECT usage.step_name, coalesce(usage.model, 'unknown') AS model, {sums}
    FROM baton.baton_usage AS usage WHERE usage.workflow_id = %(workflow_id)s
    GROUP BY 1, 2 ORDER BY min(usage.oban_job_id), 1, 2
""").format(sums=sql.SQL(SUMS))

_CAPTURES: Final[LiteralString] = """
    SELECT step_name AS step, node_name AS node, attempt, number, captured_at, model, request, response, error
    FROM baton.baton_captures
    WHERE workflow_id = %(workflow_id)s AND step_name = %(step)s AND (%(node)s::text IS NULL OR node_name = %(node)s)
    ORDER BY captured_at, oban_job_id, number
"""

_STEP_NAMES: Final[LiteralString] = """
    SELECT step_name FROM baton.workflow_nodes
    WHERE workflow_id = %(workflow_id)s AND (map_id IS NULL OR step_name = %(node)s) ORDER BY oban_job_id
"""


def usage_of_workflow(workflow_id: str) -> Reading[WorkflowUsage]:
    """The usage of a workflow.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    found = yield _WORKFLOW, {"workflow_id": workflow_id}
    if not found:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    rows = yield _USAGE, {"workflow_id": workflow_id}
    parts = ((row["step_name"], row["model"], totals_of(row)) for row in rows)
    return replace(summed(parts), budget=found[0]["budget"], spent=found[0]["spent"])


def summed(parts: Iterable[tuple[str, str, Totals]]) -> WorkflowUsage:
    """The usage of a workflow, from its totals by step and model."""
    total, steps, models = Totals(), dict[str, Totals](), dict[str, Totals]()
    for step, model, part in parts:
        total += part
        steps[step] = steps.get(step, Totals()) + part
        models[model] = models.get(model, Totals()) + part
    return WorkflowUsage(total=total, steps=steps, models=models)


def totals_of(row: Row) -> Totals:
    """The totals in a row with the columns of `SUMS`."""
    names = ("calls", "input", "cached", "cache_write", "output", "reasoning", "cost", "unpriced")
    return Totals(latency=timedelta(seconds=row["latency"]), **{name: row[name] for name in names})


def totals_of_call(usage: Usage) -> Totals:
    """The totals of one call."""
    tokens = {name: getattr(usage, name) for name in TOKENS}
    return Totals(
        calls=1,
        **tokens,
        latency=usage.latency or timedelta(0),
        cost=usage.cost or Decimal(0),
        unpriced=int(usage.cost is None),
    )


def captures_of(workflow_id: str, node: str) -> Reading[list[Capture]]:
    """What a step exchanged with models, in order.

    Args:
        workflow_id: The id of the workflow.
        node: The step, or one item of a map, `orders[3]`.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
        StepNotInWorkflowError: BTN408, if it has no such step.
    """
    step = step_of(node)
    rows = yield _CAPTURES, {"workflow_id": workflow_id, "step": step, "node": None if node == step else node}
    if not rows:
        named = yield _STEP_NAMES, {"workflow_id": workflow_id, "node": node}
        names = [row["step_name"] for row in named]
        if not names:
            raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
        if node not in names:
            raise StepNotInWorkflowError.among(workflow_id, node, names)
    return [Capture(**row) for row in rows]


KEYS: Final[dict[str, LiteralString]] = {
    "step": "usage.step_name",
    "model": "coalesce(usage.model, 'unknown')",
    "flow": "workflow.flow_name",
    "day": "to_char(usage.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "label": "workflow.workflow_label",
}
"""The keys by which calls can be grouped."""

_GROUPED: Final = """
    SELECT {key} AS key, {sums}
    FROM baton.baton_usage AS usage JOIN baton.baton_workflows AS workflow USING (workflow_id)
    WHERE (%(workflow_id)s::text IS NULL OR usage.workflow_id = %(workflow_id)s)
        AND (%(newer_than)s::interval IS NULL OR usage.recorded_at >= now() - %(newer_than)s::interval)
    GROUP BY 1 ORDER BY 1
"""


def usage_by(
    key: str, *, workflow_id: str | None = None, newer_than: timedelta | None = None
) -> Reading[dict[str, Totals]]:
    """The usage of calls of models, of one workflow or of all.

    Args:
        key: The grouping: a key of `KEYS`.
        workflow_id: Only this workflow.
        newer_than: Only calls within this time.
    """
    query = sql.SQL(_GROUPED).format(key=sql.SQL(KEYS[key]), sums=sql.SQL(SUMS))
    rows = yield query, {"workflow_id": workflow_id, "newer_than": newer_than}
    return {row["key"]: totals_of(row) for row in rows}
