"""What an operator does with workflows, each in one statement, for one or for many: cancel, retry, pause, prune."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, LiteralString

from psycopg import errors, sql
from psycopg.rows import tuple_row

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import BatonError, RetryError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.database import Database
from baton_dsl.runtime.pieces import in_schema
from baton_dsl.runtime.reading import Reading
from baton_dsl.runtime.retrying import TRIES, pause_after

TAKEN_BACK: Final = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)
"""What says that the database has undone a statement, since steps of the same workflow settled at that moment."""


class Action(StrEnum):
    """What can be done to a workflow; the value is the name of the SQL function."""

    CANCEL = "baton_stop"
    RETRY = "baton_retry"
    PAUSE = "baton_pause"
    RESUME = "baton_resume"


def _check_storable(name: str, text: str | None) -> None:
    if text is not None and (reason := unstorable(text)):
        raise WorkflowNotFoundError(f'no workflow has the {name} "{printable(text)}": {reason}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which workflows are meant: those that meet every condition that is given.

    Attributes:
        ids: Their ids.
        flow: The name of their flow.
        label: Their label.
        outcome: How they ended: `completed`, `cancelled` or `discarded`.
        is_running: True for those with a node that has not settled, False for the others.
        is_paused: True for those that are paused, False for the others.
        is_stuck: True for those under way of which nothing moves, False for the others: no step runs, and none will by
            itself, since no node runs its queue, or the queue is paused everywhere, or its code or its job is missing.
        starting: How their ids begin.
        older_than: How long ago they were inserted, at least.
        newer_than: How long ago they were inserted, at the most.
        settled_before: How long ago their last node settled, at least.

    Examples:
        >>> Which(flow="billing", outcome="discarded", older_than=timedelta(hours=1)).flow
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
            raise ValueError("name the workflows: at least one condition of Which must be given")
        for name in ("flow", "label", "outcome"):
            _check_storable(name, getattr(self, name))
        _check_storable("id", self.starting)

    @property
    def conditions(self) -> tuple[sql.Composed, dict[str, Any]]:
        """The conditions on rows of `baton_workflows`, and their parameters."""
        given: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS if getattr(self, name) is not None}
        if "ids" in given:
            given["ids"] = list(given["ids"])
            for workflow_id in given["ids"]:
                _check_storable("id", workflow_id)
        conditions = sql.SQL(" AND ").join(sql.SQL(_CONDITIONS[name]) for name in given)
        if "starting" in given:
            given["starting_end"] = given["starting"] + chr(0x10FFFF)
        return conditions, given

    def query(self, prefix: str) -> tuple[sql.Composed, dict[str, Any]]:
        """The statement that selects their ids, and its parameters."""
        conditions, given = self.conditions
        statement = sql.SQL("SELECT workflow_id FROM {} WHERE {} ORDER BY workflow_id").format(
            sql.Identifier(prefix, "baton_workflows"), sql.SQL(in_schema(conditions.as_string(), prefix))
        )
        return statement, given


_MOVES: Final[LiteralString] = """
    EXISTS (
        SELECT
        FROM baton.workflow_nodes AS node
        JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.workflow_id = baton_workflows.workflow_id
            AND node.outcome IS NULL
            AND job.state IN ('executing', 'available', 'scheduled', 'retryable')
            -- the node that fetched it last does not have its code
            AND ((job.meta #>> '{baton_absent,of}')::timestamptz = job.attempted_at AT TIME ZONE 'UTC') IS NOT TRUE
            AND (
                -- what runs on a process that is gone is returned to its queue by any other
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

STUCK: Final[LiteralString] = f"(outcome IS NULL AND paused_at IS NULL AND stopped_at IS NULL AND NOT {_MOVES})"
"""Whether nothing of a workflow moves: a condition on rows of `baton_workflows`."""


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


async def operate(database: Database, action: Action, which: Which, *, from_step: str | None = None) -> list[str]:
    """Do something to workflows, in one transaction.

    Args:
        database: Where they are.
        action: What to do: `Action.CANCEL` cancels all that has not started, and what runs is told so and not tried
            again; `RETRY` lets all run again that was cancelled or discarded, and keeps stored results; `PAUSE` lets
            nothing start until `RESUME`.
        which: To which.
        from_step: For `RETRY`: lets the step of that name run again instead, and all behind it, completed or not. Their
            results are forgotten, all others stay.

    Returns:
        The ids of those to which it applied: a workflow that has ended can't be cancelled, one that completed can't be
        retried, nor can one be retried from a step while that, or one behind it, runs or has lost its job.
    """
    statement, values = _statement(database, action, which, from_step)
    return list(await answer(database, statement, values) or ())


def operate_sync(database: Database, action: Action, which: Which, *, from_step: str | None = None) -> list[str]:
    """As `operate`, for sync code."""
    statement, values = _statement(database, action, which, from_step)
    return list(answer_sync(database, statement, values) or ())


async def answer(database: Database, statement: sql.Composed, values: Mapping[str, Any]) -> Any:
    """What a function of ours returns that is a transaction by itself: called again when the database takes it back."""
    for number in range(TRIES):
        try:
            async with database.connection() as conn:
                row = await (await conn.cursor(row_factory=tuple_row).execute(statement, values)).fetchone()
        except TAKEN_BACK:
            if number == TRIES - 1:
                raise
            await asyncio.sleep(pause_after(number))
        else:
            return row[0] if row is not None else None
    raise AssertionError("unreachable")


def answer_sync(database: Database, statement: sql.Composed, values: Mapping[str, Any]) -> Any:
    """As `answer`, for sync code."""
    for number in range(TRIES):
        try:
            with database.sync_connection() as conn:
                row = conn.cursor(row_factory=tuple_row).execute(statement, values).fetchone()
        except TAKEN_BACK:
            if number == TRIES - 1:
                raise
            time.sleep(pause_after(number))
        else:
            return row[0] if row is not None else None
    raise AssertionError("unreachable")


def _statement(
    database: Database, action: Action, which: Which, from_step: str | None
) -> tuple[sql.Composed, dict[str, Any]]:
    chosen, values = which.query(database.prefix)
    if from_step is None:
        return sql.SQL("SELECT {}(ARRAY({}))").format(database.table(action.value), chosen), values
    if action is not Action.RETRY:
        raise ValueError(f"from_step is for Action.RETRY, got {action!r}")
    if reason := unstorable(from_step):
        raise StepNotInWorkflowError(f'no step has the name "{printable(from_step)}": {reason}')
    statement = sql.SQL("SELECT {}(ARRAY({}), %(from_step)s::text)").format(database.table("baton_retry_from"), chosen)
    return statement, {**values, "from_step": from_step}


_HELD: Final[LiteralString] = """
    SELECT node.step_name, job.id IS NOT NULL AS runs
    FROM baton.baton_behind(ARRAY[%(workflow_id)s::text], %(step)s::text) AS behind
    JOIN baton.workflow_nodes AS node ON node.oban_job_id = behind.id
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE (behind.is_whole OR behind.is_made_anew)
        AND ((job.id IS NULL AND NOT node.is_map AND behind.is_whole) OR job.state = 'executing')
    ORDER BY node.oban_job_id
"""


def refusal(workflow_id: str, step: str) -> Reading[BatonError | None]:
    """Why a workflow could not be retried from a step; None if it can be by now."""
    rows = yield (
        "SELECT step_name FROM baton.workflow_nodes WHERE workflow_id = %(workflow_id)s ORDER BY oban_job_id",
        {"workflow_id": workflow_id},
    )
    names = [row["step_name"] for row in rows]
    if not names:
        return WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    if step not in names:
        return StepNotInWorkflowError.among(workflow_id, step, names)
    held = yield _HELD, {"workflow_id": workflow_id, "step": step}
    gone = [row["step_name"] for row in held if not row["runs"]]
    if gone:
        return RetryError(
            f'workflow "{workflow_id}" can\'t be retried from step "{step}": the jobs of {quoted(gone)} are gone',
            remedy="insert it anew, with the same inputs: workflow.rerun(flow), or baton rerun",
        )
    if held:
        running = quoted(row["step_name"] for row in held)
        verb, they = ("runs", "it ends") if len(held) == 1 else ("run", "they end")
        return RetryError(
            f'workflow "{workflow_id}" can\'t be retried from step "{step}" while {running} {verb}',
            remedy=f"wait until {they}, or cancel the workflow first",
        )
    return None


BATCH: Final = 1000
"""Workflows that one transaction of a prune removes."""


async def prune(database: Database, older_than: timedelta) -> int:
    """Remove workflows that settled longer ago than that, with their results; never one that still runs.

    Args:
        database: Where they are.
        older_than: How long they are kept.

    Returns:
        How many were removed.
    """
    removed = 0
    while True:
        count: int = await answer(database, *_prune_statement(database, older_than))
        removed += count
        if count < BATCH:
            return removed


def prune_sync(database: Database, older_than: timedelta) -> int:
    """As `prune`, for sync code."""
    removed = 0
    while True:
        count: int = answer_sync(database, *_prune_statement(database, older_than))
        removed += count
        if count < BATCH:
            return removed


def _prune_statement(database: Database, older_than: timedelta) -> tuple[sql.Composed, dict[str, Any]]:
    statement = sql.SQL("SELECT {}(%(older_than)s::interval, %(most)s::int4)").format(database.table("baton_prune"))
    return statement, {"older_than": older_than, "most": BATCH}
