"""Read what the page of a workflow shows: the workflow and its steps, with bounded sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, LiteralString

from baton_dsl.core.wording import unstorable
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.runtime.database import reads as statements
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.status import state_of_items
from baton_dsl.runtime.observing.stored import StoredJson
from baton_dsl.runtime.observing.workflow_filter import STUCK
from baton_dsl.status import Standing, standing_of

SHOWN: Final = 20_000
"""The most characters of a result, an input or an error on a page; the download has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One step of a workflow, as the graph, the timeline and the table show it.

    Attributes:
        step: The name of the step.
        state: As `NodeStatus.state`.
        function: The name of its function, from its worker.
        upstreams: The names of the steps that it waits for.
        is_map: Whether it has items instead of a job.
        items: For a map, how many items are in each state.
        has_lists: Of a map, whether its items are lists of items, each of which can fail by itself.
        by_upstream: Whether it was cancelled or skipped because of an upstream.
        queue: Its queue; None after its job is pruned.
        attempt: The number of attempts so far.
        max_attempts: The number of attempts after which it is discarded.
        ready_at: When it was ready: when its last upstream settled, or its scheduled time if that is later.
        began_at: When its last attempt began; for a map, when the first of its items began.
        settled_at: When it settled.
        failed_at: When earlier attempts failed.
    """

    step: str
    state: str
    function: str = ""
    upstreams: tuple[str, ...] = ()
    is_map: bool = False
    items: Mapping[str, int] = field(default_factory=dict)
    has_lists: bool = False
    by_upstream: bool = False
    queue: str | None = None
    attempt: int = 0
    max_attempts: int = 0
    ready_at: datetime | None = None
    began_at: datetime | None = None
    settled_at: datetime | None = None
    failed_at: tuple[datetime, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether it has an outcome."""
        return self.settled_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """One workflow with its steps.

    Attributes:
        id: Its id.
        label: Its label.
        flow: The name of its flow.
        standing: Its outcome, or until it has one, its state.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        now: The time of the database when this was read.
        inputs: Its inputs, perhaps cut.
        nodes: Its steps in topological order, without the items of maps.
        of_maps: The number of its maps' items.
    """

    id: str
    label: str
    flow: str
    standing: Standing
    inserted_at: datetime
    settled_at: datetime | None
    paused_at: datetime | None
    stopped_at: datetime | None
    now: datetime
    inputs: StoredJson | None
    nodes: Sequence[NodeView]
    of_maps: int

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps are in each state."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node.state] = found.get(node.state, 0) + 1
        return found

    @property
    def is_settled(self) -> bool:
        """Whether all of its nodes have settled."""
        return self.settled_at is not None

    @property
    def lasted(self) -> float:
        """Seconds from its insert to its end, or until now."""
        return ((self.settled_at or self.now) - self.inserted_at).total_seconds()


_WORKFLOW: Final[LiteralString] = f"""
    SELECT workflow_id, workflow_label, flow_name, outcome, inserted_at, settled_at, paused_at, stopped_at,
        left(inputs::text, %(shown)s + 1) AS inputs, octet_length(inputs::text) AS inputs_size, {STUCK} AS is_stuck,
        clock_timestamp() AS now
    FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s
"""

_NODES: Final[LiteralString] = f"""
    SELECT node.step_name, node.oban_job_id, node.deps, node.worker, node.outcome, node.updated_at, node.is_map,
        node.levels > 1 AS has_lists, node.by_upstream,
        {statements.STATE} AS state, job.queue, job.attempt, job.max_attempts, job.scheduled_at, job.attempted_at,
        CASE WHEN jsonb_array_length(job.errors) > 0 THEN ARRAY(
            SELECT error ->> 'at' FROM jsonb_array_elements(job.errors) AS error LIMIT 50
        ) END AS failed_at
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
    ORDER BY node.oban_job_id
"""

_ITEM_COUNTS: Final[LiteralString] = f"""
    SELECT node.root_id, {statements.STATE} AS state, count(*) AS count, min(job.attempted_at) AS began_at
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NOT NULL AND NOT node.is_map
    GROUP BY 1, 2
"""


def workflow(workflow_id: str) -> Reading[WorkflowView]:
    """A workflow with its steps.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    if reason := unstorable(workflow_id):
        raise WorkflowNotFoundError(f"no workflow has that id: {reason}")
    rows = yield _WORKFLOW, {"workflow_id": workflow_id, "shown": SHOWN}
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    nodes = yield _NODES, {"workflow_id": workflow_id}
    counts = (yield _ITEM_COUNTS, {"workflow_id": workflow_id}) if any(node["is_map"] for node in nodes) else []
    items: dict[int, dict[str, int]] = {}
    began: dict[int, datetime] = {}
    for count in counts:
        root = count["root_id"]
        items.setdefault(root, {})[count["state"]] = count["count"]
        if count["began_at"] is not None:
            began[root] = min(began.get(root, count["began_at"]), count["began_at"])
    row = rows[0]
    settled = {node["step_name"]: node["updated_at"] for node in nodes if node["outcome"]}
    return WorkflowView(
        id=row["workflow_id"],
        label=row["workflow_label"],
        flow=row["flow_name"],
        standing="stuck" if row["is_stuck"] else standing_of(row["outcome"], row["stopped_at"], row["paused_at"]),
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        paused_at=row["paused_at"],
        stopped_at=row["stopped_at"],
        now=row["now"],
        inputs=StoredJson.of(row["inputs"], row["inputs_size"], SHOWN),
        nodes=[
            _node(node, row["inserted_at"], settled, items.get(node["oban_job_id"], {}), began.get(node["oban_job_id"]))
            for node in nodes
        ],
        of_maps=sum(count["count"] for count in counts),
    )


def _node(
    row: Row, inserted_at: datetime, settled: Mapping[str, datetime], items: Mapping[str, int], began: datetime | None
) -> NodeView:
    upstreams = tuple(row["deps"])
    above = [settled[name] for name in upstreams if name in settled]
    is_open = len(above) == len(upstreams)
    ready = max([inserted_at, *above]) if is_open else None
    attempted_at = in_utc(began if row["is_map"] else row["attempted_at"])
    return NodeView(
        step=row["step_name"],
        state=state_of_items(items) if row["state"] == "expanded" else row["state"],
        function=row["worker"],
        upstreams=upstreams,
        is_map=row["is_map"],
        items=items,
        has_lists=bool(row["has_lists"]),
        by_upstream=row["by_upstream"],
        queue=row["queue"],
        attempt=row["attempt"] or 0,
        max_attempts=row["max_attempts"] or 0,
        ready_at=ready,
        began_at=attempted_at,
        settled_at=row["updated_at"] if row["outcome"] else None,
        failed_at=tuple(filter(None, map(moment_of, row["failed_at"] or ()))),
    )


def moment_of(text: str | None) -> datetime | None:
    """Parse a time that Oban has written into JSON, in UTC; None if it is not a time."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:  # not written by Oban
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def in_utc(moment: datetime | None) -> datetime | None:
    """Add the zone to a time from Oban's columns, which are UTC without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)


_FAILURES: Final[LiteralString] = """
    SELECT node.step_name, coalesce(node.reason, right(job.errors -> -1 ->> 'error', 4000)) AS error
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND NOT node.by_upstream
        AND (node.outcome = 'discarded' OR (node.outcome IS NULL AND job.state = 'retryable'))
        AND NOT (node.is_map AND node.items IS NOT NULL)
    ORDER BY node.outcome NULLS LAST, node.oban_job_id LIMIT %(most)s
"""


_FAILED: Final = frozenset(["discarded", "retryable"])


def failures(view: WorkflowView, *, most: int) -> Reading[list[tuple[str, str]]]:
    """The nodes that failed by themselves or wait for their next attempt, each with the end of its last error."""
    if not any(node.has_lists or _FAILED & {node.state, *node.items} for node in view.nodes):
        return []  # the usual case, which needs no query
    rows = yield _FAILURES, {"workflow_id": view.id, "most": most}
    return [(row["step_name"], row["error"] or "") for row in rows]
