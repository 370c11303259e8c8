"""The gate: what a job reads before its function runs. Many jobs ask together; shared results are sent once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import sql
from psycopg.rows import tuple_row

from baton_dsl.runtime.bridge import Pool, autocommit

CACHED_BYTES: Final = 16 * 1024 * 1024
"""Large results that a process keeps for the next job that shares an upstream."""
LARGE: Final = 16 * 1024
"""Characters from which a result is kept: a smaller one costs less to send again than to ask for by its stamp."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """How an upstream ended, and its result as JSON; None if it has none."""

    step: str
    worker: str
    outcome: str | None
    result: str | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A node as its job finds it."""

    workflow_id: str
    step: str
    is_settled: bool
    pending: int
    upstreams: Mapping[str, Upstream]


_SELECT: Final = """
SELECT node.oban_job_id, node.workflow_id, node.step_name, node.outcome IS NOT NULL, node.pending, node.upstreams,
    NULL::text, NULL::text, NULL::text, NULL::timestamptz
FROM {nodes} AS node
WHERE node.oban_job_id = ANY(%(jobs)s::int8[])
UNION ALL
SELECT upstream.oban_job_id, NULL, upstream.step_name, NULL, NULL, NULL,
    upstream.worker, upstream.outcome, upstream.result::text, upstream.updated_at
FROM {nodes} AS upstream
WHERE upstream.oban_job_id = ANY(
        ARRAY(
            SELECT DISTINCT unnest(node.upstreams) FROM {nodes} AS node WHERE node.oban_job_id = ANY(%(jobs)s::int8[])
        )
    )
    AND (upstream.oban_job_id, upstream.updated_at) NOT IN (
        SELECT * FROM unnest(%(known)s::int8[], %(stamps)s::timestamptz[])
    )
"""


class Gate:
    """Reads nodes and the results that they need, in one statement for all jobs that ask at the same time.

    Args:
        pool: Where connections come from.
        prefix: The schema.
    """

    def __init__(self, pool: Pool, prefix: str) -> None:
        self._pool = pool
        self._select = sql.SQL(_SELECT).format(nodes=sql.Identifier(prefix, "workflow_nodes"))
        self._known: OrderedDict[int, tuple[datetime, Upstream]] = OrderedDict()
        self._bytes = 0

    async def read(self, job_ids: Sequence[int]) -> list[Passage | None]:
        """The passage of each job; None for a job that has no node."""
        known = dict(self._known)
        asked = {
            "jobs": list(job_ids),
            "known": list(known),
            "stamps": [stamp for stamp, _ in known.values()],
        }
        async with autocommit(self._pool) as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            await cursor.execute(self._select, asked)
            rows = await cursor.fetchall()
        nodes: dict[int, tuple[Any, ...]] = {}
        upstreams = {job_id: upstream for job_id, (_, upstream) in known.items()}
        for row in rows:
            if row[1] is not None:
                nodes[row[0]] = row
            else:
                upstreams[row[0]] = upstream = Upstream(row[2], row[6], row[7], row[8])
                self._remember(row[0], row[9], upstream)
        return [_passage(nodes.get(job_id), upstreams) for job_id in job_ids]

    def _remember(self, job_id: int, stamp: datetime, upstream: Upstream) -> None:
        size = len(upstream.result or "")
        if upstream.outcome != "completed" or not LARGE <= size <= CACHED_BYTES // 4:
            return
        replaced = self._known.pop(job_id, None)
        self._bytes += size - (len(replaced[1].result or "") if replaced else 0)
        self._known[job_id] = (stamp, upstream)
        while self._bytes > CACHED_BYTES:
            _, (_, oldest) = self._known.popitem(last=False)
            self._bytes -= len(oldest.result or "")


def _passage(row: tuple[Any, ...] | None, upstreams: Mapping[int, Upstream]) -> Passage | None:
    if row is None:
        return None
    found = [upstreams[job_id] for job_id in row[5] if job_id in upstreams]
    return Passage(
        workflow_id=row[1],
        step=row[2],
        is_settled=row[3],
        pending=row[4],
        upstreams={upstream.step: upstream for upstream in found},
    )
