"""Select workflows for a list or an action: conditions on the rows of `baton_workflows`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, LiteralString

from psycopg import sql

from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import WorkflowNotFoundError
from baton_dsl.runtime.database.snapshot import Reading

_IDS: Final = sql.SQL("SELECT workflow_id FROM baton.baton_workflows WHERE {} ORDER BY workflow_id")


def _check_storable(name: str, text: str | None) -> None:
    if text is not None and (reason := unstorable(text)):
        raise WorkflowNotFoundError(f'no workflow has the {name} "{printable(text)}": {reason}')


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFilter:
    """Selects workflows: those that match every condition that is set.

    Attributes:
        ids: Their ids.
        flow: The name of their flow.
        label: Their label.
        outcome: How they ended: `completed`, `cancelled` or `discarded`.
        is_running: True for those with a node that has not settled, False for the others.
        is_paused: True for those that are paused, False for the others.
        is_stuck: True for running workflows that can't progress without help, False for the others. In a stuck
            workflow, no step runs, and none will: no node runs its queue, or the queue is paused everywhere, or its
            code or job is missing.
        starting: The beginning of their ids.
        older_than: The least time since they were inserted.
        newer_than: The most time since they were inserted.
        settled_before: The least time since their last node settled.

    Examples:
        >>> WorkflowFilter(flow="billing", outcome="discarded", older_than=timedelta(hours=1)).flow
        'billing'
    """

    ids: Iterable[str] | None = None
    flow: str | None = None
    label: str | None = None
    outcome: str | None = None
    is_running: bool | None = None
    is_paused: bool | None = None
    is_stuck: bool | None = None
    starting: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    settled_before: timedelta | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in _CONDITIONS):
            raise ValueError("name the workflows: set at least one condition of WorkflowFilter")
        for name in ("flow", "label", "outcome"):
            _check_storable(name, getattr(self, name))
        _check_storable("id", self.starting)

    @property
    def conditions(self) -> tuple[sql.Composed, dict[str, Any]]:
        """The conditions on rows of `baton_workflows`, and their parameters."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS if getattr(self, name) is not None}
        if "ids" in values:
            values["ids"] = list(values["ids"])
            for workflow_id in values["ids"]:
                _check_storable("id", workflow_id)
        conditions = sql.SQL(" AND ").join(sql.SQL(_CONDITIONS[name]) for name in values)
        if "starting" in values:
            values["starting_end"] = values["starting"] + chr(0x10FFFF)
        return conditions, values

    @property
    def query(self) -> tuple[sql.Composed, dict[str, Any]]:
        """The query that selects their ids, and its parameters."""
        conditions, values = self.conditions
        return _IDS.format(conditions), values


_MOVES: Final[LiteralString] = """
    EXISTS (
        SELECT
        FROM baton.workflow_nodes AS node
        JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.workflow_id = baton_workflows.workflow_id
            AND node.outcome IS NULL
            AND job.state IN ('executing', 'available', 'scheduled', 'retryable')
            -- not if the node that fetched it last lacks its code
            AND ((job.meta #>> '{baton_absent,of}')::timestamptz = job.attempted_at AT TIME ZONE 'UTC') IS NOT TRUE
            AND (
                -- a step whose process died is returned to its queue by any other process
                job.queue = ANY(ARRAY(
                    SELECT queue FROM baton.oban_producers
                    WHERE baton.baton_lives(uuid::text) AND NOT coalesce((meta ->> 'paused')::boolean, false)
                ))
                OR (job.state = 'executing' AND job.attempted_by[2] = ANY(ARRAY(
                    SELECT uuid::text FROM baton.oban_producers WHERE baton.baton_lives(uuid::text)
                )))
            )
    )
"""

# Read once for all workflows, because there are few such jobs. A search among the steps of one workflow might have to
# skip a hundred thousand completed items.
_RUN: Final[LiteralString] = """
    workflow_id = ANY(ARRAY(
        SELECT DISTINCT job.meta ->> 'workflow_id'
        FROM baton.oban_jobs AS job
        WHERE job.state = 'executing'
            AND job.meta ? 'workflow_id'
            AND job.attempted_by[2] = ANY(ARRAY(
                SELECT uuid::text FROM baton.oban_producers WHERE baton.baton_lives(uuid::text)
            ))
    ))
"""

STUCK: Final[LiteralString] = (
    f"(outcome IS NULL AND paused_at IS NULL AND stopped_at IS NULL AND NOT {_RUN} AND NOT {_MOVES})"
)
"""Whether a workflow is stuck: a condition on rows of `baton_workflows`."""


def is_stuck(workflow_id: str) -> Reading[bool]:
    """Whether nothing of a workflow moves."""
    (row,) = yield _IS_STUCK, {"workflow_id": workflow_id}
    return bool(row["is_stuck"])


_IS_STUCK: Final = sql.SQL(
    "SELECT EXISTS (SELECT FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s AND {}) AS is_stuck"
).format(sql.SQL(STUCK))


_CONDITIONS: Final[dict[str, LiteralString]] = {
    "ids": "workflow_id = ANY(%(ids)s)",
    "flow": "flow_name = %(flow)s",
    "label": "workflow_label = %(label)s",
    "outcome": "outcome = %(outcome)s",
    "is_running": "(outcome IS NULL) = %(is_running)s",
    "is_paused": "(outcome IS NULL AND paused_at IS NOT NULL) = %(is_paused)s",
    "is_stuck": f"{STUCK} = %(is_stuck)s",
    "starting": "workflow_id >= %(starting)s AND workflow_id < %(starting_end)s",
    "older_than": "inserted_at < now() - %(older_than)s::interval",
    "newer_than": "inserted_at >= now() - %(newer_than)s::interval",
    "settled_before": "settled_at < now() - %(settled_before)s::interval",
}
