"""The statements that read one workflow; the schema is inserted when they run.

The names of tables stand in braces, and each statement takes `workflow_id`. A handle reads outside of a transaction,
one round trip for each statement, so it can't set a `search_path` for them as `snapshot.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, LiteralString

from psycopg import sql

_STATE: Final[LiteralString] = """CASE
        WHEN node.outcome IS NOT NULL THEN node.outcome
        WHEN node.items IS NOT NULL THEN 'expanded'  -- its state is told by those of its items
        WHEN node.is_map THEN 'suspended'
        ELSE coalesce(job.state::text, 'available')
    END"""

_COLUMNS: Final[LiteralString] = (
    "node.oban_job_id, node.step_name, "
    + _STATE
    + """ AS state, node.deps, node.worker, job.queue, job.attempt,
    job.max_attempts, job.attempted_at, job.scheduled_at, node.outcome, node.updated_at, node.is_map,
    coalesce(node.reason, job.errors -> -1 ->> 'error') AS error,
    CASE
        WHEN node.is_map THEN NULL
        WHEN node.parameters = ARRAY['workflow_model'] THEN node.item ->> 0  -- an item of a step of several models
        WHEN node.map_id IS NULL THEN job.args ->> 'workflow_model'
    END AS model
"""
)
"""What `status.node_of` reads of a `node` and its `job`."""

_RESULT: Final[LiteralString] = (
    "node.step_name, node.outcome, node.worker, node.is_map, node.levels, node.result::text AS result"
)

WORKFLOW: Final[LiteralString] = """
SELECT workflow_id, workflow_label, flow_name, outcome, paused_at, stopped_at, inserted_at, settled_at
FROM {workflows}
WHERE workflow_id = %(workflow_id)s
"""

COUNTS: Final[LiteralString] = """
SELECT {state} AS state, count(*) AS count,
    array_agg(node.oban_job_id) FILTER (WHERE node.outcome IS NULL AND node.items IS NOT NULL) AS maps
FROM {nodes} AS node LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
GROUP BY 1
"""
"""How many steps are in each state, without the items of maps; `maps` are those whose state its items tell."""

NODES: Final[LiteralString] = """
SELECT {columns}
FROM {nodes} AS node LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
ORDER BY node.oban_job_id
"""

ITEMS: Final[LiteralString] = """
SELECT {columns}
FROM {nodes} AS node LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s
    AND node.root_id = (
        SELECT map.oban_job_id FROM {nodes} AS map
        WHERE map.workflow_id = %(workflow_id)s AND map.step_name = %(step_name)s
    )
    AND NOT node.is_map
ORDER BY node.oban_job_id
"""
"""The items of one map."""

ITEM_COUNTS: Final[LiteralString] = """
SELECT node.root_id, {state} AS state, count(*) AS count, min(job.attempted_at) AS attempted_at
FROM {nodes} AS node LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NOT NULL AND NOT node.is_map
GROUP BY 1, 2
"""
"""How many items of each map are in each state, and when the first of these began."""

RESULT: Final[LiteralString] = """
SELECT {result} FROM {nodes} AS node
WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step_name)s
"""

RESULTS: Final[LiteralString] = """
SELECT {result} FROM {nodes} AS node
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL AND node.outcome = 'completed'
ORDER BY node.oban_job_id
"""

COLLECTED: Final[LiteralString] = """
SELECT node.step_name, list.result, list.absent::text AS absent
FROM {nodes} AS node CROSS JOIN LATERAL {collect}(node.oban_job_id) AS list
WHERE node.workflow_id = %(workflow_id)s AND node.is_map AND node.items IS NOT NULL
    AND node.step_name = ANY(%(step_names)s)
"""
"""What the items of maps returned."""

STEP_NAMES: Final[LiteralString] = """
SELECT node.step_name FROM {nodes} AS node
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
ORDER BY node.oban_job_id
"""


@lru_cache(maxsize=256)
def query(statement: LiteralString, prefix: str) -> sql.Composed:
    """A statement on the tables of one schema.

    Args:
        statement: One of this module.
        prefix: The schema.
    """
    return _filled(statement, {name: sql.Identifier(prefix, table) for name, table in _TABLES.items()})


@lru_cache(maxsize=256)
def in_reading(statement: LiteralString) -> sql.Composed:
    """A statement as a `Reading` yields it, with `baton.` for the schema.

    Args:
        statement: One of this module.
    """
    return _filled(statement, {name: sql.SQL(f"baton.{table}") for name, table in _TABLES.items()})


_TABLES: Final[Mapping[str, LiteralString]] = {
    "workflows": "baton_workflows",
    "nodes": "workflow_nodes",
    "jobs": "oban_jobs",
    "collect": "baton_collect",
}


def _filled(statement: LiteralString, tables: Mapping[str, sql.Composable]) -> sql.Composed:
    return sql.SQL(statement).format(
        **tables, state=sql.SQL(_STATE), columns=sql.SQL(_COLUMNS), result=sql.SQL(_RESULT)
    )
