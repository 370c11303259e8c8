"""What is asked of our tables: statements in SQLAlchemy Core, each compiled once for a schema, run by psycopg."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, LiteralString

from psycopg import sql
from sqlalchemy import Dialect, Select, Text, and_, bindparam, case, cast, func, select
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect

from baton_dsl.runtime.tables import jobs, nodes, workflows

_DIALECT: Final[Dialect] = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]

_state: Final = case(
    (nodes.c.outcome.is_not(None), nodes.c.outcome),
    (nodes.c["items"].is_not(None), "executing"),  # a map runs while its items do
    (nodes.c.is_map, "suspended"),
    else_=func.coalesce(cast(jobs.c.state, Text), "available"),
)
_of_workflow: Final = nodes.c.workflow_id == bindparam("workflow_id")
_of_steps: Final = and_(_of_workflow, nodes.c.map_id.is_(None))
"""The nodes of steps, without the items of maps."""
_and_jobs: Final = nodes.outerjoin(jobs, jobs.c.id == nodes.c.oban_job_id)

WORKFLOW: Final = select(
    workflows.c.workflow_id,
    workflows.c.workflow_label,
    workflows.c.flow_name,
    workflows.c.outcome,
    workflows.c.paused_at,
    workflows.c.stopped_at,
    workflows.c.inserted_at,
    workflows.c.settled_at,
).where(workflows.c.workflow_id == bindparam("workflow_id"))

COUNTS: Final = (
    select(_state.label("state"), func.count().label("count")).select_from(_and_jobs).where(_of_steps).group_by(_state)
)

_COLUMNS: Final = (
    nodes.c.oban_job_id,
    nodes.c.step_name,
    _state.label("state"),
    nodes.c.deps,
    nodes.c.worker,
    jobs.c.queue,
    jobs.c.attempt,
    jobs.c.max_attempts,
    jobs.c.attempted_at,
    jobs.c.scheduled_at,
    nodes.c.outcome,
    nodes.c.updated_at,
    nodes.c.is_map,
    func.coalesce(jobs.c.errors[-1]["error"].astext, nodes.c.reason).label("error"),
)

NODES: Final = select(*_COLUMNS).select_from(_and_jobs).where(_of_steps).order_by(nodes.c.oban_job_id)

ITEMS: Final = (
    select(*_COLUMNS)
    .select_from(_and_jobs)
    .where(
        _of_workflow,
        nodes.c.root_id
        == select(nodes.c.oban_job_id)
        .where(_of_workflow, nodes.c.step_name == bindparam("step_name"))
        .correlate(None)
        .scalar_subquery(),
        nodes.c.is_map.is_(False),
    )
    .order_by(nodes.c.oban_job_id)
)
"""The items of one map."""

ITEM_COUNTS: Final = (
    select(
        nodes.c.root_id,
        _state.label("state"),
        func.count().label("count"),
        func.min(jobs.c.attempted_at).label("attempted_at"),
    )
    .select_from(_and_jobs)
    .where(_of_workflow, nodes.c.map_id.is_not(None), nodes.c.is_map.is_(False))
    .group_by(nodes.c.root_id, _state)
)
"""How many items of each map are in each state, and when the first of these began."""

_result: Final = (
    nodes.c.step_name,
    nodes.c.outcome,
    nodes.c.worker,
    nodes.c.is_map,
    nodes.c.levels,
    cast(nodes.c.result, Text).label("result"),
)

RESULT: Final = select(*_result).where(_of_workflow, nodes.c.step_name == bindparam("step_name"))

RESULTS: Final = select(*_result).where(_of_steps, nodes.c.outcome == "completed").order_by(nodes.c.oban_job_id)

COLLECTED: Final = """
SELECT node.step_name, list.result, list.absent::text AS absent
FROM {nodes} AS node CROSS JOIN LATERAL {collect}(node.oban_job_id) AS list
WHERE node.workflow_id = %(workflow_id)s AND node.is_map AND node.items IS NOT NULL
    AND node.step_name = ANY(%(step_names)s)
"""
"""What the items of maps returned; text, since Core puts no schema before a function's name."""

STEP_NAMES: Final = select(nodes.c.step_name).where(_of_steps).order_by(nodes.c.oban_job_id)


def collected(prefix: str) -> sql.Composed:
    """`COLLECTED` on the tables of one schema."""
    return sql.SQL(COLLECTED).format(
        nodes=sql.Identifier(prefix, "workflow_nodes"), collect=sql.Identifier(prefix, "baton_collect")
    )


@lru_cache(maxsize=256)
def _compiled(statement: Select[*tuple[Any, ...]], prefix: str) -> tuple[LiteralString, dict[str, Any]]:
    """A statement's text on the tables of one schema, and the values that stand in it already."""
    compiled = statement.compile(dialect=_DIALECT, schema_translate_map={None: prefix}, render_schema_translate=True)
    return str(compiled), dict(compiled.params)


def query(statement: Select[*tuple[Any, ...]], prefix: str, **parameters: Any) -> tuple[LiteralString, dict[str, Any]]:
    """A statement and its parameters, as psycopg's `execute` takes them."""
    text, defaults = _compiled(statement, prefix)
    return text, defaults | parameters
