"""Queries about one workflow and its nodes. They write `baton.` for the schema, and take `workflow_id`."""

from __future__ import annotations

from typing import Final, LiteralString

STATE: Final[LiteralString] = """CASE
        WHEN node.outcome IS NOT NULL THEN node.outcome
        WHEN node.items IS NOT NULL THEN 'expanded'  -- the states of its items decide
        WHEN node.is_map THEN 'suspended'
        ELSE coalesce(job.state::text, 'available')
    END"""

COLUMNS: Final[LiteralString] = (
    "node.oban_job_id, node.step_name, "
    + STATE
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
"""The columns of a `node` and its `job` that `status.node_of` needs."""

_RESULT: Final[LiteralString] = (
    "node.step_name, node.outcome, node.worker, node.is_map, node.levels, node.result::text AS result, "
    "node.parameters = ARRAY['workflow_model'] AS is_per_model"
)

WORKFLOW: Final[LiteralString] = """
SELECT workflow_id, workflow_label, flow_name, outcome, paused_at, stopped_at, inserted_at, settled_at
FROM baton.baton_workflows
WHERE workflow_id = %(workflow_id)s
"""

COUNTS: Final[LiteralString] = f"""
SELECT {STATE} AS state, count(*) AS count,
    array_agg(node.oban_job_id) FILTER (WHERE node.outcome IS NULL AND node.items IS NOT NULL) AS maps
FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
GROUP BY 1
"""
"""How many steps are in each state, without the items of maps; `maps` are those whose items decide their state."""

NODES: Final[LiteralString] = f"""
SELECT {COLUMNS}
FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
ORDER BY node.oban_job_id
"""

ITEMS: Final[LiteralString] = f"""
SELECT {COLUMNS}
FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s
    AND node.root_id = (
        SELECT map.oban_job_id FROM baton.workflow_nodes AS map
        WHERE map.workflow_id = %(workflow_id)s AND map.step_name = %(step_name)s
    )
    AND NOT node.is_map
ORDER BY node.oban_job_id
"""
"""The items of one map."""

ITEM_COUNTS: Final[LiteralString] = f"""
SELECT node.root_id, {STATE} AS state, count(*) AS count, min(job.attempted_at) AS attempted_at
FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NOT NULL AND NOT node.is_map
GROUP BY 1, 2
"""
"""How many items of each map are in each state, and when the first of these began."""

RESULT: Final[LiteralString] = f"""
SELECT {_RESULT} FROM baton.workflow_nodes AS node
WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step_name)s
"""

RESULTS: Final[LiteralString] = f"""
SELECT {_RESULT} FROM baton.workflow_nodes AS node
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL AND node.outcome = 'completed'
ORDER BY node.oban_job_id
"""

COLLECTED: Final[LiteralString] = """
SELECT node.step_name, list.result, list.absent::text AS absent
FROM baton.workflow_nodes AS node CROSS JOIN LATERAL baton.baton_collect(node.oban_job_id) AS list
WHERE node.workflow_id = %(workflow_id)s AND node.is_map AND node.items IS NOT NULL
    AND node.step_name = ANY(%(step_names)s)
"""
"""What the items of maps returned."""

STEP_NAMES: Final[LiteralString] = """
SELECT node.step_name FROM baton.workflow_nodes AS node
WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
ORDER BY node.oban_job_id
"""
