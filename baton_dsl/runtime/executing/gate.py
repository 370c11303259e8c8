"""The gate: read what jobs need before their functions run. One statement serves many jobs and sends results once."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.rows import args_row

from baton_dsl.core.items import step_of
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values.limits import fan_in_limit

CACHED_BYTES: Final = 16 * 1024 * 1024
"""The most bytes of large results that a process caches for further jobs with the same upstream."""
LARGE: Final = 16 * 1024
"""The least characters of a cached result: sending a smaller one again costs less than checking its time stamp."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """How an upstream ended, and its result as JSON; None if it has none.

    Attributes:
        step: The name of its step.
        worker: The worker of its job.
        outcome: How it ended; None if it has not.
        result: What it returned; for a map, the list of what its items returned.
        is_map: Whether it is a map.
        absent: The items of a map without a result, as JSON; None if there are none.
        size: The bytes of a map's list; if they are above the limit, `result` is None.
    """

    step: str
    worker: str
    outcome: str | None
    result: str | None
    is_map: bool = False
    absent: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """What the gate knows about a node when its job starts.

    Attributes:
        workflow_id: The id of its workflow.
        node: Its name: `orders`, or `orders[3]` for an item of a map.
        outcome: How it settled; None if it has not.
        pending: How many things it waits for.
        is_stopped: Whether its workflow was cancelled as a whole after this job was fetched.
        upstreams: The upstreams whose results it reads, by step.
        items: For an item of a map, the values of its mapped parameters: JSON, or a node.
        args: For an item of a map, the args of the map, which are not in the item's job.
    """

    workflow_id: str
    node: str
    outcome: str | None
    pending: int
    is_stopped: bool
    upstreams: Mapping[str, Upstream]
    items: Mapping[str, str | Upstream]
    args: Mapping[str, Any] | None

    @property
    def step(self) -> str:
        """The name of its step."""
        return step_of(self.node)


def passage_of(text: str) -> Passage:
    """Parse the JSON of `baton_passage`, which a settle has read."""
    workflow_id, node, outcome, pending, is_stopped, ends = json.loads(text)
    upstreams = [Upstream(step_of(name), worker, ended, result) for name, worker, ended, result in ends]
    return Passage(
        workflow_id=workflow_id,
        node=node,
        outcome=outcome,
        pending=pending,
        is_stopped=is_stopped,
        upstreams={upstream.step: upstream for upstream in upstreams},
        items={},
        args=None,
    )


_SELECT: Final = """
SELECT node.oban_job_id AS id, node.workflow_id AS workflow_id, node.step_name AS name, node.outcome AS outcome,
    node.pending AS pending, (
        SELECT workflow.stopped_at IS NOT NULL FROM baton.baton_workflows AS workflow
        WHERE workflow.workflow_id = node.workflow_id
    ) AS is_stopped, node.upstreams || coalesce(node.beside, '{}') AS reads, node.parameters AS parameters,
    node.sources AS sources, CASE WHEN node.item IS NOT NULL THEN ARRAY(SELECT json_array_elements(node.item)::text) END
    AS items, NULL AS worker, NULL AS result, NULL::timestamptz AS stamp, false AS is_map, NULL AS absent,
    NULL::bigint AS size
FROM baton.workflow_nodes AS node
WHERE node.oban_job_id = ANY(%(jobs)s::int8[])
UNION ALL
SELECT wanted.id, NULL, upstream.step_name, upstream.outcome, NULL, NULL, NULL, NULL, NULL, NULL,
    upstream.worker,
    CASE
        WHEN wanted.id < 0 THEN upstream.mapping ->> 'args'
        WHEN upstream.is_map THEN list.result
        ELSE upstream.result::text
    END,
    upstream.updated_at, upstream.is_map, list.absent::text, list.size
FROM (
    SELECT DISTINCT unnest(node.upstreams || coalesce(node.beside, '{}')) AS id
    FROM baton.workflow_nodes AS node WHERE node.oban_job_id = ANY(%(jobs)s::int8[])
) AS wanted
CROSS JOIN LATERAL (
    SELECT * FROM baton.workflow_nodes AS found WHERE found.oban_job_id = abs(wanted.id) OFFSET 0
) AS upstream
LEFT JOIN LATERAL baton.baton_collect_within(
    -- not a condition of the join, which would be evaluated after the call; for NULL, the function does nothing
    CASE WHEN upstream.is_map AND upstream.items IS NOT NULL AND wanted.id > 0 THEN upstream.oban_job_id END,
    %(most)s::int8
) AS list ON true
WHERE (wanted.id, upstream.updated_at) NOT IN (SELECT * FROM unnest(%(known)s::int8[], %(stamps)s::timestamptz[]))
"""


class _Row(NamedTuple):
    """A row of the statement: a node, or a result that nodes read."""

    id: int
    workflow_id: str | None
    name: str
    outcome: str | None
    pending: int
    is_stopped: bool
    reads: list[int]
    parameters: list[str] | None
    sources: list[int] | None
    items: list[str] | None
    worker: str
    result: str | None
    stamp: datetime
    is_map: bool
    absent: str | None
    size: int | None


class Gate:
    """Reads nodes and the results that they need, in one statement for all jobs that start at the same time.

    Args:
        pool: The pool of connections.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._select = statement(_SELECT, prefix)
        self._known: OrderedDict[int, tuple[datetime, Upstream]] = OrderedDict()
        self._bytes = 0

    async def read(self, job_ids: Sequence[int], _is_again: bool = False) -> list[Passage | None]:
        """The passage of each job; None for a job that has no node."""
        known = dict(self._known)
        asked = {
            "jobs": list(job_ids),
            "known": list(known),
            "most": fan_in_limit(),
            "stamps": [stamp for stamp, _ in known.values()],
        }
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=args_row(_Row), binary=True)
            await cursor.execute(self._select, asked)
            rows = await cursor.fetchall()
        nodes: dict[int, _Row] = {}
        upstreams = {node_id: upstream for node_id, (_, upstream) in known.items()}
        for row in rows:
            if row.workflow_id is not None:
                nodes[row.id] = row
            else:
                upstreams[row.id] = upstream = Upstream(
                    step_of(row.name), row.worker, row.outcome, row.result, row.is_map, row.absent, row.size
                )
                self._remember(row.id, row.stamp, upstream)
        return [_passage(nodes.get(job_id), upstreams) for job_id in job_ids]

    def _remember(self, node_id: int, stamp: datetime, upstream: Upstream) -> None:
        size = len(upstream.result or "")
        is_final = upstream.outcome == "completed" or node_id < 0  # args never change
        if not is_final or not LARGE <= size <= CACHED_BYTES // 4:
            return
        replaced = self._known.pop(node_id, None)
        self._bytes += size - (len(replaced[1].result or "") if replaced else 0)
        self._known[node_id] = (stamp, upstream)
        while self._bytes > CACHED_BYTES:
            _, (_, oldest) = self._known.popitem(last=False)
            self._bytes -= len(oldest.result or "")


def _passage(row: _Row | None, upstreams: Mapping[int, Upstream]) -> Passage | None:
    if row is None:
        return None
    assert row.workflow_id is not None
    items: dict[str, str | Upstream] = {}
    for name, source, text in zip(row.parameters or (), row.sources or (), row.items or (), strict=True):
        items[name] = upstreams[source] if source else text
    args = next((json.loads(upstreams[node_id].result or "{}") for node_id in row.reads if node_id < 0), None)
    found = [upstreams[node_id] for node_id in row.reads if node_id > 0 and node_id in upstreams]
    return Passage(
        workflow_id=row.workflow_id,
        node=row.name,
        outcome=row.outcome,
        pending=row.pending,
        is_stopped=row.is_stopped,
        upstreams={upstream.step: upstream for upstream in found},
        items=items,
        args=args if args is not None or row.parameters is None else {},
    )
