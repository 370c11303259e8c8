"""What is asked of our tables: statements in SQLAlchemy Core, each compiled once for a schema, run by psycopg."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, LiteralString

from sqlalchemy import Dialect, Select, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect

from baton_dsl.runtime.tables import jobs, nodes, workflows

_DIALECT: Final[Dialect] = psycopg_dialect.dialect()  # type: ignore[no-untyped-call]

_state: Final = func.coalesce(nodes.c.outcome, cast(jobs.c.state, Text), "available")
_of_workflow: Final = nodes.c.workflow_id == bindparam("workflow_id")

WORKFLOW: Final = select(
    workflows.c.workflow_id,
    workflows.c.workflow_label,
    workflows.c.flow_name,
    workflows.c.outcome,
    workflows.c.inserted_at,
    workflows.c.settled_at,
).where(workflows.c.workflow_id == bindparam("workflow_id"))

COUNTS: Final = (
    select(_state.label("state"), func.count().label("count"))
    .select_from(nodes.outerjoin(jobs, jobs.c.id == nodes.c.oban_job_id))
    .where(_of_workflow)
    .group_by(_state)
)

NODES: Final = (
    select(
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
        jobs.c.errors[-1]["error"].astext.label("error"),
    )
    .select_from(nodes.outerjoin(jobs, jobs.c.id == nodes.c.oban_job_id))
    .where(_of_workflow)
    .order_by(nodes.c.oban_job_id)
)

RESULT: Final = select(nodes.c.outcome, nodes.c.worker, cast(nodes.c.result, Text).label("result")).where(
    _of_workflow, nodes.c.step_name == bindparam("step_name")
)

RESULTS: Final = (
    select(nodes.c.step_name, nodes.c.worker, cast(nodes.c.result, Text).label("result"))
    .where(_of_workflow, nodes.c.outcome == "completed")
    .order_by(nodes.c.oban_job_id)
)

STEP_NAMES: Final = select(nodes.c.step_name).where(_of_workflow).order_by(nodes.c.oban_job_id)


@lru_cache(maxsize=256)
def _compiled(statement: Select[*tuple[Any, ...]], prefix: str) -> tuple[LiteralString, dict[str, Any]]:
    """A statement's text on the tables of one schema, and the values that stand in it already."""
    compiled = statement.compile(dialect=_DIALECT, schema_translate_map={None: prefix}, render_schema_translate=True)
    return str(compiled), dict(compiled.params)


def query(statement: Select[*tuple[Any, ...]], prefix: str, **parameters: Any) -> tuple[LiteralString, dict[str, Any]]:
    """A statement and its parameters, as psycopg's `execute` takes them."""
    text, defaults = _compiled(statement, prefix)
    return text, defaults | parameters
