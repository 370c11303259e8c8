"""What the pages read: workflows, the nodes of one, one node; each as values, each bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from baton_dsl.core.wording import unstorable
from baton_dsl.errors import StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.reading import Reading, Row
from baton_dsl.status import Standing, standing_of

SHOWN: Final = 20_000
"""Characters of a result, an input or an error that a page shows; the rest is for the download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a node that failed, as Oban has kept it.

    Attributes:
        number: Which try.
        at: When it ended.
        error: Its error with the traceback, perhaps cut.
    """

    number: int
    at: datetime | None
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One step of a workflow, as the graph, the timeline and the table show it.

    Attributes:
        step: The name of the step.
        state: Its outcome; until it has one, Oban's state. A map is `executing` while its items run.
        function: What it runs: the worker's name.
        upstreams: The names of the steps that it waits for.
        is_map: Whether it has items in place of a job.
        items: Of a map, how many items are in each state.
        by_upstream: Whether it was cancelled or skipped because of another.
        queue: Its queue; None once its job is gone.
        attempt: How often it was tried.
        max_attempts: After how many tries it is discarded.
        ready_at: When it could have started: when its last upstream settled, or when it was put off to.
        began_at: When its last try began; of a map, when the first of its items did.
        settled_at: When it settled.
        failed_at: When earlier tries failed.
    """

    step: str
    state: str
    function: str = ""
    upstreams: tuple[str, ...] = ()
    is_map: bool = False
    items: Mapping[str, int] = field(default_factory=dict)
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
        standing: Its outcome, or how it stands until it has one.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        now: The moment of the database at which all this was read.
        inputs: Its inputs as JSON, perhaps cut.
        inputs_size: Their size in bytes.
        nodes: Its steps in topological order, without the items of maps.
        of_maps: How many items its maps have.
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
    inputs: str
    inputs_size: int
    nodes: Sequence[NodeView]
    of_maps: int

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps are in each state that any is in."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node.state] = found.get(node.state, 0) + 1
        return found

    @property
    def is_settled(self) -> bool:
        """Whether all of it has settled."""
        return self.settled_at is not None

    @property
    def lasted(self) -> float:
        """Seconds from its insert to its end, or until now."""
        return ((self.settled_at or self.now) - self.inserted_at).total_seconds()


_WORKFLOW: Final[LiteralString] = """
    SELECT workflow_id, workflow_label, flow_name, outcome, inserted_at, settled_at, paused_at, stopped_at,
        left(inputs::text, %(shown)s) AS inputs, octet_length(inputs::text) AS inputs_size, clock_timestamp() AS now
    FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s
"""

_NODES: Final[LiteralString] = """
    SELECT node.step_name, node.oban_job_id, node.deps, node.worker, node.outcome, node.updated_at, node.is_map,
        node.by_upstream,
        CASE
            WHEN node.outcome IS NOT NULL THEN node.outcome
            WHEN node.items IS NOT NULL THEN 'executing'
            WHEN node.is_map THEN 'suspended'
            ELSE coalesce(job.state::text, 'gone')
        END AS state,
        job.queue, job.attempt, job.max_attempts, job.scheduled_at, job.attempted_at,
        CASE WHEN jsonb_array_length(job.errors) > 0 THEN ARRAY(
            SELECT error ->> 'at' FROM jsonb_array_elements(job.errors) AS error LIMIT 50
        ) END AS failed_at
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NULL
    ORDER BY node.oban_job_id
"""

_ITEM_COUNTS: Final[LiteralString] = """
    SELECT node.root_id, coalesce(node.outcome, job.state::text, 'gone') AS state, count(*) AS count,
        min(job.attempted_at) AS began_at
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.map_id IS NOT NULL AND NOT node.is_map
    GROUP BY 1, 2
"""


def workflow(workflow_id: str) -> Reading[WorkflowView]:
    """A workflow with its steps.

    Raises:
        WorkflowNotFoundError: BTN407, if there is none of that id.
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
        standing=standing_of(row["outcome"], row["stopped_at"], row["paused_at"]),
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
        paused_at=row["paused_at"],
        stopped_at=row["stopped_at"],
        now=row["now"],
        inputs=row["inputs"],
        inputs_size=row["inputs_size"],
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
    attempted_at = _in_utc(began if row["is_map"] else row["attempted_at"])
    return NodeView(
        step=row["step_name"],
        state=row["state"],
        function=row["worker"],
        upstreams=upstreams,
        is_map=row["is_map"],
        items=items,
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
    """A moment as Oban writes it into JSON, in UTC; None if it is none."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:  # whatever somebody has written there
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _in_utc(moment: datetime | None) -> datetime | None:
    """Oban's columns are UTC without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """All there is to know of one node.

    Attributes:
        step: Its name.
        workflow_id: Its workflow.
        label: The label of that.
        state: Its outcome; until it has one, Oban's state.
        function: What it runs.
        upstreams: What it waits for, and the state of each.
        downstreams: What waits for it.
        part_of: The map that it is an item of.
        is_map: Whether it has items.
        items: Of a map, how many items are in each state.
        reason: Why it was skipped, or could not be made.
        attempts: The tries that failed.
        runs_on: The node of Oban that runs it, or ran it last.
        args: What its job was given beside the results of upstreams, as JSON, perhaps cut.
        args_size: Its size in bytes.
        result: What it returned, as JSON, perhaps cut; None if it has returned nothing yet.
        result_size: Its size in bytes.
    """

    step: str
    workflow_id: str
    label: str
    state: str
    function: str
    upstreams: Sequence[tuple[str, str]]
    downstreams: Sequence[tuple[str, str]]
    part_of: str | None
    is_map: bool
    items: Mapping[str, int]
    reason: str | None
    attempts: Sequence[Attempt]
    attempt: int
    max_attempts: int
    queue: str | None
    priority: int | None
    tags: Sequence[str]
    job: int | None
    runs_on: str | None
    inserted_at: datetime | None
    scheduled_at: datetime | None
    attempted_at: datetime | None
    settled_at: datetime | None
    args: str | None
    args_size: int
    result: str | None
    result_size: int
    now: datetime

    @property
    def is_settled(self) -> bool:
        """Whether it has an outcome."""
        return self.settled_at is not None


_STEP: Final[LiteralString] = """
    SELECT node.step_name, node.workflow_id, node.workflow_label, node.worker, node.outcome, node.updated_at,
        node.is_map, node.reason, node.upstreams, node.downstreams, map.step_name AS part_of, node.inserted_at,
        CASE
            WHEN node.outcome IS NOT NULL THEN node.outcome
            WHEN node.items IS NOT NULL THEN 'executing'
            WHEN node.is_map THEN 'suspended'
            ELSE coalesce(job.state::text, 'gone')
        END AS state,
        job.id AS job, job.queue, job.priority, job.tags, job.attempt, job.max_attempts, job.scheduled_at,
        job.attempted_at, job.attempted_by[1] AS runs_on,
        left(coalesce(job.args::text, node.mapping ->> 'args'), %(shown)s) AS args,
        coalesce(octet_length(coalesce(job.args::text, node.mapping ->> 'args')), 0) AS args_size,
        left(node.result::text, %(shown)s) AS result, coalesce(octet_length(node.result::text), 0) AS result_size,
        ARRAY(
            SELECT jsonb_build_object(
                'attempt', error -> 'attempt', 'at', error -> 'at', 'error', right(error ->> 'error', %(shown)s)
            )::text
            FROM jsonb_array_elements(job.errors) WITH ORDINALITY AS errors(error, place) ORDER BY place DESC LIMIT 50
        ) AS errors,
        clock_timestamp() AS now
    FROM baton.workflow_nodes AS node
    LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.map_id
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step)s
"""

_NEIGHBOURS: Final[LiteralString] = """
    SELECT node.oban_job_id, node.step_name,
        CASE
            WHEN node.outcome IS NOT NULL THEN node.outcome
            WHEN node.items IS NOT NULL THEN 'executing'
            WHEN node.is_map THEN 'suspended'
            ELSE coalesce(job.state::text, 'gone')
        END AS state
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.oban_job_id = ANY(%(ids)s) ORDER BY node.oban_job_id LIMIT 200
"""

_COUNTS_OF: Final[LiteralString] = """
    SELECT coalesce(node.outcome, job.state::text, 'gone') AS state, count(*) AS count
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND NOT node.is_map AND node.root_id = (
        SELECT root_id FROM baton.workflow_nodes WHERE workflow_id = %(workflow_id)s AND step_name = %(step)s
    )
    GROUP BY 1
"""


def step(workflow_id: str, name: str) -> Reading[StepView]:
    """One node.

    Raises:
        StepNotInWorkflowError: BTN408, if there is none.
    """
    for text in (workflow_id, name):
        if reason := unstorable(text):
            raise StepNotInWorkflowError(f"there is no such step: {reason}")
    rows = yield _STEP, {"workflow_id": workflow_id, "step": name, "shown": SHOWN}
    if not rows:
        raise StepNotInWorkflowError(f'there is no step "{name}" in a workflow "{workflow_id}"')
    row = rows[0]
    near = yield _NEIGHBOURS, {"ids": [*row["upstreams"], *row["downstreams"]]}
    counts = (yield _COUNTS_OF, {"workflow_id": workflow_id, "step": name}) if row["is_map"] else []
    return StepView(
        step=row["step_name"],
        workflow_id=row["workflow_id"],
        label=row["workflow_label"],
        state=row["state"],
        function=row["worker"],
        upstreams=[(it["step_name"], it["state"]) for it in near if it["oban_job_id"] in row["upstreams"]],
        downstreams=[(it["step_name"], it["state"]) for it in near if it["oban_job_id"] in row["downstreams"]],
        part_of=row["part_of"],
        is_map=row["is_map"],
        items={count["state"]: count["count"] for count in counts},
        reason=row["reason"],
        attempts=[_attempt(error) for error in row["errors"]],
        attempt=row["attempt"] or 0,
        max_attempts=row["max_attempts"] or 0,
        queue=row["queue"],
        priority=row["priority"],
        tags=row["tags"] or (),
        job=row["job"],
        runs_on=row["runs_on"],
        inserted_at=row["inserted_at"],
        scheduled_at=_in_utc(row["scheduled_at"]),
        attempted_at=_in_utc(row["attempted_at"]),
        settled_at=row["updated_at"] if row["outcome"] else None,
        args=row["args"],
        args_size=row["args_size"],
        result=row["result"],
        result_size=row["result_size"],
        now=row["now"],
    )


def _attempt(text: str) -> Attempt:
    error: Any = json.loads(text)
    number = error.get("attempt")
    at = error.get("at")
    return Attempt(
        number=number if isinstance(number, int) else 0,
        at=moment_of(at if isinstance(at, str) else None),
        error=error.get("error") or "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemView:
    """One item of a map, in a list."""

    step: str
    state: str
    attempt: int
    max_attempts: int
    attempted_at: datetime | None
    settled_at: datetime | None
    id: int


_ITEMS: Final[LiteralString] = """
    SELECT node.oban_job_id, node.step_name, node.outcome, node.updated_at, job.attempt, job.max_attempts,
        job.attempted_at,
        CASE
            WHEN node.outcome IS NOT NULL THEN node.outcome
            WHEN node.items IS NOT NULL THEN 'executing'
            WHEN node.is_map THEN 'suspended'
            ELSE coalesce(job.state::text, 'gone')
        END AS state
    FROM baton.workflow_nodes AS map
    JOIN baton.workflow_nodes AS node ON node.map_id = map.oban_job_id
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE map.workflow_id = %(workflow_id)s AND map.step_name = %(step)s AND node.item_index >= %(first)s
        AND (%(state)s::text IS NULL OR coalesce(node.outcome, job.state::text, 'gone') = %(state)s)
    ORDER BY node.item_index LIMIT %(most)s
"""


def items(workflow_id: str, name: str, *, first: int, state: str | None, most: int) -> Reading[list[ItemView]]:
    """Items of a map, or its lists of items, from a place on.

    Args:
        workflow_id: The workflow.
        name: The map.
        first: The index of the first.
        state: Only those in that state.
        most: So many at the most.
    """
    rows = yield (
        _ITEMS,
        {"workflow_id": workflow_id, "step": name, "first": first, "state": state, "most": most},
    )
    return [
        ItemView(
            step=row["step_name"],
            state=row["state"],
            attempt=row["attempt"] or 0,
            max_attempts=row["max_attempts"] or 0,
            attempted_at=_in_utc(row["attempted_at"]),
            settled_at=row["updated_at"] if row["outcome"] else None,
            id=row["oban_job_id"],
        )
        for row in rows
    ]


_FAILURES: Final[LiteralString] = """
    SELECT node.step_name, coalesce(node.reason, right(job.errors -> -1 ->> 'error', 4000)) AS error
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND NOT node.by_upstream
        AND (node.outcome = 'discarded' OR (node.outcome IS NULL AND job.state = 'retryable'))
        AND NOT (node.is_map AND node.items IS NOT NULL)
    ORDER BY node.outcome NULLS LAST, node.oban_job_id LIMIT %(most)s
"""


def failures(workflow_id: str, *, most: int) -> Reading[list[tuple[str, str]]]:
    """The nodes that failed by themselves, or wait for their next try, each with the end of its last error."""
    rows = yield _FAILURES, {"workflow_id": workflow_id, "most": most}
    return [(row["step_name"], row["error"] or "") for row in rows]


_TEXT: Final[Mapping[str, sql.SQL]] = {
    "inputs": sql.SQL("SELECT inputs::text AS text FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s"),
    "result": sql.SQL(
        "SELECT result::text AS text FROM baton.workflow_nodes "
        "WHERE workflow_id = %(workflow_id)s AND step_name = %(step)s"
    ),
}


def whole(kind: str, workflow_id: str, name: str | None = None) -> Reading[str | None]:
    """The inputs of a workflow or the result of a step, whole, as JSON; None if there are none."""
    for text in (workflow_id, name):
        if text is not None and unstorable(text):
            return None
    rows = yield _TEXT[kind], {"workflow_id": workflow_id, "step": name}
    return rows[0]["text"] if rows else None
