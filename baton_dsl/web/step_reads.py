"""What the page of a step reads: all there is to know of one node, and the items of a map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from baton_dsl.core.wording import unstorable
from baton_dsl.errors import StepNotInWorkflowError
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.web.reads import SHOWN, in_utc, moment_of


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
        scheduled_at=in_utc(row["scheduled_at"]),
        attempted_at=in_utc(row["attempted_at"]),
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
            attempted_at=in_utc(row["attempted_at"]),
            settled_at=row["updated_at"] if row["outcome"] else None,
            id=row["oban_job_id"],
        )
        for row in rows
    ]
