"""Read everything about one node: what it takes, what it returned, its attempts, and what it waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, LiteralString

from baton_dsl.core.items import step_of
from baton_dsl.errors import ItemNotFoundError
from baton_dsl.runtime.database import reads
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.lowering.lower import MODEL
from baton_dsl.runtime.observing.results import missing_node, node_name
from baton_dsl.runtime.observing.status import NodeStatus, nodes_of
from baton_dsl.runtime.observing.stored import MOST, StoredJson
from baton_dsl.runtime.observing.why_facts import explain


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a node.

    Attributes:
        number: The number of the attempt, from 1. An attempt whose process died, or that snoozed, shares the number of
            the next one.
        began_at: When it began; known only for the last one.
        ended_at: When it ended; None while it runs.
        state: `failed`, `executing`, `lost` if its process is gone, or how the node settled with it.
        runs_on: The Oban node that ran it; known only for the last one.
        error: The exception with its traceback, or the reason of a cancellation; None if it did not fail.
    """

    number: int
    began_at: datetime | None
    ended_at: datetime | None
    state: str
    runs_on: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A result that a node takes from another node.

    Attributes:
        step: The name of the upstream; for the mapped parameter of an item, the name of the parameter.
        outcome: How the upstream ended; None if it has not.
        result: What the upstream returned; None if nothing, or if a map's list is larger than what is read.
        size: The size of the result in bytes.
    """

    step: str
    outcome: str | None
    result: StoredJson | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """Everything about one node.

    Attributes:
        workflow_id: The id of its workflow.
        flow: The name of its flow.
        node: Its status.
        job_id: The id of its job in `oban_jobs`.
        part_of: The map that it is an item of.
        model: The model that was chosen for it, if any.
        inserted_at: When it was inserted.
        inputs: Its inputs, by name; None if its job, which contains them, is pruned.
        takes: The results that it takes from its upstreams.
        result: What it returned; None if it has no result yet.
        attempts: The known attempts, in order.
        crashes: How often its process died.
        snoozes: How often it snoozed.
        is_job_gone: Whether Oban has pruned its job, and with it the errors of its attempts.
        reason: Why it was skipped, or why the map could not expand.
        why: The sentence of `baton why` about it; empty if it was not requested.
    """

    workflow_id: str
    flow: str
    node: NodeStatus
    job_id: int
    part_of: str | None
    model: str | None
    inserted_at: datetime
    inputs: Mapping[str, StoredJson] | None
    takes: Sequence[Taken]
    result: StoredJson | None
    attempts: Sequence[Attempt]
    crashes: int
    snoozes: int
    is_job_gone: bool
    reason: str | None
    why: str


_NODE: Final[LiteralString] = f"""
    SELECT {reads.COLUMNS},
        node.inserted_at, node.reason, node.parameters, node.sources, node.root_id, node.map_id,
        CASE WHEN node.item IS NOT NULL THEN ARRAY(SELECT json_array_elements(node.item)::text) END AS own_items,
        left(node.result::text, %(most)s::int4) AS result, octet_length(node.result::text) AS size,
        workflow.flow_name AS flow, map.step_name AS part_of,
        coalesce(root.mapping ->> 'args', job.args::text) AS args, job.id IS NULL AND NOT node.is_map AS is_job_gone,
        job.errors, job.state::text AS job_state, job.attempted_by[1] AS runs_on, job.cancelled_at, job.discarded_at,
        CASE WHEN job.state = 'executing' THEN baton.baton_lives(job.attempted_by[2]) END AS is_alive,
        coalesce((job.meta ->> 'rescued')::integer, 0) AS crashes,
        coalesce((job.meta ->> 'snoozed')::integer, 0) AS snoozes
    FROM baton.workflow_nodes AS node
    JOIN baton.baton_workflows AS workflow ON workflow.workflow_id = node.workflow_id
    LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.map_id
    LEFT JOIN baton.workflow_nodes AS root ON root.oban_job_id = coalesce(node.root_id, node.oban_job_id)
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step)s
"""

_ITEM_COUNTS: Final[LiteralString] = """
    SELECT node.root_id, coalesce(node.outcome, job.state::text, 'available') AS state, count(*) AS count,
        min(job.attempted_at) AS attempted_at
    FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = %(workflow_id)s AND node.root_id = %(root_id)s AND NOT node.is_map
    GROUP BY 1, 2
"""

# The result of a map is made of its items' results; if it is larger than what is read, it is not made at all.
_TAKES: Final[LiteralString] = """
    SELECT upstream.oban_job_id AS id, upstream.step_name AS step, upstream.outcome,
        left(CASE WHEN upstream.is_map THEN list.result ELSE upstream.result::text END, %(most)s::int4) AS result,
        coalesce(list.size, octet_length(upstream.result::text)) AS size
    FROM baton.workflow_nodes AS node
    CROSS JOIN LATERAL unnest(node.upstreams || coalesce(node.beside, '{}') || coalesce(node.sources, '{}'))
        WITH ORDINALITY AS wanted(id, place)
    JOIN baton.workflow_nodes AS upstream ON upstream.oban_job_id = wanted.id
    LEFT JOIN LATERAL baton.baton_collect_within(
        CASE WHEN upstream.is_map AND upstream.items IS NOT NULL THEN upstream.oban_job_id END, %(most)s::int8
    ) AS list ON true
    WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step)s
    ORDER BY wanted.place
"""

_NAMES: Final[LiteralString] = """
    SELECT step_name FROM baton.workflow_nodes WHERE workflow_id = %(workflow_id)s AND map_id IS NULL
    ORDER BY oban_job_id
"""

_RESULT: Final[LiteralString] = """
    SELECT list.result, list.size
    FROM baton.workflow_nodes AS node
    CROSS JOIN LATERAL baton.baton_collect_within(node.oban_job_id, %(most)s::int8) AS list
    WHERE node.workflow_id = %(workflow_id)s AND node.step_name = %(step)s AND node.items IS NOT NULL
"""

WHOLE: Final = 2**31 - 1
"""The number of characters that means: the whole value."""


def record(
    workflow_id: str, step: str, *, most: int = MOST, explained: bool = True, zone: tzinfo | None = None
) -> Reading[NodeRecord]:
    """Everything about one node.

    Args:
        workflow_id: The id of its workflow.
        step: The name of the node: `orders`, or `orders[3]` for an item of a map.
        most: The most characters of each value to read; `WHOLE` reads all.
        explained: Whether to make the sentence, which reads every node of the workflow.
        zone: The time zone of the moments in the sentence; default: the machine's.

    Raises:
        WorkflowNotFoundError: BTN407, if there is no such workflow.
        StepNotInWorkflowError: BTN408, if it has no such step.
        ItemNotFoundError: BTN413, if the step has no such item.

    Example:
        ```python
        found = await read(database, record(workflow.id, "charge"))
        print(found.attempts[-1].error)
        ```
    """
    asked = {"workflow_id": workflow_id, "step": node_name(step, None), "most": most}
    rows = yield _NODE, asked
    if not rows:
        names = yield _NAMES, asked
        of_map = step_of(step)
        if of_map != step and any(name["step_name"] == of_map for name in names):
            raise ItemNotFoundError(f'step "{of_map}" of workflow "{workflow_id}" has no item {step[len(of_map) :]}')
        raise missing_node(workflow_id, step, None, names)
    (row,) = rows
    counts: list[Row] = []
    result = StoredJson.of(row["result"], row["size"], most)
    if row["is_map"]:
        counts = yield _ITEM_COUNTS, {**asked, "root_id": row["oban_job_id"]}
        collected = yield _RESULT, asked
        for each in collected:
            result = StoredJson.of(each["result"], each["size"], most)
    taken = yield _TAKES, asked
    why = (yield from explain(workflow_id, step, zone=zone)) if explained else ""
    (node,) = nodes_of([row], counts)
    given = json.loads(row["args"]) if row["args"] else None
    return NodeRecord(
        workflow_id=workflow_id,
        flow=row["flow"],
        node=node,
        job_id=row["oban_job_id"],
        part_of=row["part_of"],
        model=node.model or (None if given is None else given.get(MODEL)),
        inserted_at=row["inserted_at"],
        inputs=None if given is None else _inputs(given, most),
        takes=_takes(row, taken, most),
        result=result,
        attempts=_attempts(row, node),
        crashes=row["crashes"],
        snoozes=row["snoozes"],
        is_job_gone=row["is_job_gone"],
        reason=row["reason"],
        why=why,
    )


def _inputs(given: Mapping[str, Any], most: int) -> dict[str, StoredJson]:
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in given.items() if name != MODEL}
    found = {name: StoredJson.of(text, None, most) for name, text in texts.items()}
    return {name: value for name, value in found.items() if value is not None}


def _takes(row: Row, taken: Sequence[Row], most: int) -> list[Taken]:
    """The values of an item's mapped parameters, followed by the other results that it reads."""
    by_id = {each["id"]: each for each in taken}
    items: list[Taken] = []
    places = zip(row["parameters"] or (), row["sources"] or (), row["own_items"] or (), strict=False)
    mapped: set[int] = set()
    for name, source, text in places if row["map_id"] is not None else ():
        mapped.add(source)
        if not source:
            value = StoredJson.of(text, None, most)
            items.append(
                Taken(step=name, outcome="completed", result=value, size=None if value is None else value.size)
            )
        elif source in by_id:
            items.append(_taken(by_id[source], most))
    return items + [_taken(each, most) for each in by_id.values() if each["id"] not in mapped]


def _taken(row: Row, most: int) -> Taken:
    result = StoredJson.of(row["result"], row["size"], most)
    return Taken(step=row["step"], outcome=row["outcome"], result=result, size=row["size"])


def _attempts(row: Row, node: NodeStatus) -> list[Attempt]:
    """The attempts that are known: Oban keeps the errors of failed ones, and when the last one began."""
    attempts = [
        Attempt(
            number=error["attempt"],
            began_at=None,
            ended_at=_moment(error["at"]),
            state="failed",
            runs_on=None,
            error=error["error"],
        )
        for error in row["errors"] or ()
        if isinstance(error, dict) and "error" in error
    ]
    if row["is_map"] or node.attempted_at is None:
        return attempts
    state, ended_at, error = _last_state(row), node.settled_at, None
    if attempts and attempts[-1].number == node.attempt and row["job_state"] not in ("executing", "completed"):
        last = attempts.pop()
        state, ended_at, error = state or "failed", last.ended_at, last.error
    elif state is None:  # it snoozed, or its process died: nothing is known about it
        return attempts
    # If the node has snoozed since then, the beginning is no longer known.
    began_at = node.attempted_at if ended_at is None or ended_at >= node.attempted_at else None
    last_one = Attempt(
        number=node.attempt,
        began_at=began_at,
        ended_at=ended_at,
        state=state,
        runs_on=row["runs_on"] if began_at else None,
        error=error,
    )
    return [*attempts, last_one]


def _last_state(row: Row) -> str | None:
    if row["job_state"] == "executing":
        return "executing" if row["is_alive"] is not False else "lost"
    outcome: str | None = row["outcome"]
    return outcome


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):  # not written by Oban
        return None
