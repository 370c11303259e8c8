"""Cancel, retry, pause and resume workflows, each in one statement for any number of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, LiteralString, TypedDict

from psycopg import errors, sql
from psycopg.rows import tuple_row

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.rules.option import CHECKS
from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import BatonError, RetryError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.retrying import TRIES, pause_after
from baton_dsl.runtime.database.snapshot import Query, Reading, read, read_sync
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating import choosing
from baton_dsl.runtime.sql.statements import statement

TAKEN_BACK: Final = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)
"""What says that the database has undone a statement, since steps of the same workflow settled at that moment."""


class Action(StrEnum):
    """What can be done to a workflow; the value is the name of the SQL function."""

    CANCEL = "baton_stop"
    RETRY = "baton_retry"
    PAUSE = "baton_pause"
    RESUME = "baton_resume"


async def operate(
    database: Database, action: Action, which: WorkflowFilter, *, from_step: str | None = None
) -> list[str]:
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
    return list(await answer(database, _query(action, which, from_step)) or ())


def operate_sync(
    database: Database, action: Action, which: WorkflowFilter, *, from_step: str | None = None
) -> list[str]:
    """As `operate`, for sync code."""
    return list(answer_sync(database, _query(action, which, from_step)) or ())


class RetryOptions(TypedDict, total=False):
    """How a retry differs from the last attempts.

    Attributes:
        attempts: How many attempts each step gets that has been attempted before and runs again.
        models: Other models for steps that run again, by their names.
    """

    attempts: int | None
    models: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What a retry has done.

    Attributes:
        ids: The workflows to which it applied.
        steps: How many steps run again that have been attempted before.
        fewest: How many attempts each of them has at least.
        most: How many attempts each of them has at most.
    """

    ids: list[str]
    steps: int
    fewest: int
    most: int


async def retry(
    database: Database,
    which: WorkflowFilter,
    *,
    from_step: str | None = None,
    attempts: int | None = None,
    models: Mapping[str, str] | None = None,
) -> Retried:
    """Retry workflows, in one transaction; `operate` does the same with the attempts that are left.

    Args:
        database: Where they are.
        which: Which ones.
        from_step: As for `operate`.
        attempts: How many attempts each step gets that has been attempted before and runs again; by default those that
            are left of its own, and at least one.
        models: Other models for steps that run again, by their names. If it is one workflow, each of these steps must
            run again; of several, those in which it does not keep its model.

    Raises:
        StepNotInWorkflowError: BTN408, if a step that `models` names is none of a workflow.
        RetryError: BTN415, if the model of one can't be changed.
        ValueError: If `attempts` is no whole number from 1 to 32,767.
    """
    query = _retry_query(which, from_step, attempts, models)
    if models and (error := await read(database, choosing.unfit(which, models))):
        raise error
    with choosing.explained():
        return Retried(**await answer(database, query))


def retry_sync(
    database: Database,
    which: WorkflowFilter,
    *,
    from_step: str | None = None,
    attempts: int | None = None,
    models: Mapping[str, str] | None = None,
) -> Retried:
    """As `retry`, for sync code."""
    query = _retry_query(which, from_step, attempts, models)
    if models and (error := read_sync(database, choosing.unfit(which, models))):
        raise error
    with choosing.explained():
        return Retried(**answer_sync(database, query))


def see_attempts(attempts: int) -> None:
    """See that a step may be given so many attempts.

    Raises:
        ValueError: If not.
    """
    if wrong := CHECKS["max_attempts"](attempts):
        raise ValueError(f"attempts must be {wrong}, got {attempts!r:.60}")


def _retry_query(
    which: WorkflowFilter, from_step: str | None, attempts: int | None, models: Mapping[str, str] | None
) -> Query:
    if attempts is not None:
        see_attempts(attempts)
    if from_step is not None:
        _see_storable(from_step)
    chosen, values = which.query
    values = {**values, "from_step": from_step, "attempts": attempts}
    if models:
        choosing.check(models)
        return _RETRY_MODELS.format(chosen), {**values, "models": json.dumps(dict(models))}
    return _RETRY_WITH.format(chosen), values


_RETRY_FROM: Final = sql.SQL("SELECT baton.baton_retry_from(ARRAY({}), %(from_step)s::text)")
_RETRY_WITH: Final = sql.SQL("SELECT baton.baton_retry_with(ARRAY({}), %(from_step)s::text, %(attempts)s::int4)")
_RETRY_MODELS: Final = sql.SQL(
    "SELECT baton.baton_retry_models(ARRAY({}), %(from_step)s::text, %(attempts)s::int4, %(models)s::json)"
)


async def answer(database: Database, query: Query) -> Any:
    """What a function of ours returns that is a transaction by itself: called again when the database takes it back."""
    text, values = query
    for number in range(TRIES):
        try:
            async with database.connection() as conn:
                cursor = conn.cursor(row_factory=tuple_row)
                row = await (await cursor.execute(statement(text, database.prefix), values)).fetchone()
        except TAKEN_BACK:
            if number == TRIES - 1:
                raise
            await asyncio.sleep(pause_after(number))
        else:
            return row[0] if row is not None else None
    raise AssertionError("unreachable")


def answer_sync(database: Database, query: Query) -> Any:
    """As `answer`, for sync code."""
    text, values = query
    for number in range(TRIES):
        try:
            with database.sync_connection() as conn:
                cursor = conn.cursor(row_factory=tuple_row)
                row = cursor.execute(statement(text, database.prefix), values).fetchone()
        except TAKEN_BACK:
            if number == TRIES - 1:
                raise
            time.sleep(pause_after(number))
        else:
            return row[0] if row is not None else None
    raise AssertionError("unreachable")


def _query(action: Action, which: WorkflowFilter, from_step: str | None) -> Query:
    chosen, values = which.query
    if from_step is None:
        return sql.SQL(f"SELECT baton.{action.value}(ARRAY({{}}))").format(chosen), values
    if action is not Action.RETRY:
        raise ValueError(f"from_step is for Action.RETRY, got {action!r}")
    _see_storable(from_step)
    return _RETRY_FROM.format(chosen), {**values, "from_step": from_step}


def _see_storable(step: str) -> None:
    if reason := unstorable(step):
        raise StepNotInWorkflowError(f'no step has the name "{printable(step)}": {reason}')


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
_PRUNE: Final[LiteralString] = "SELECT baton.baton_prune(%(older_than)s::interval, %(most)s::int4)"
_PRUNE_CAPTURES: Final[LiteralString] = """
    WITH gone AS (
        DELETE FROM baton.baton_captures WHERE captured_at < now() - %(older_than)s::interval RETURNING 1
    )
    SELECT count(*) FROM gone
"""


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
        count: int = await answer(database, (_PRUNE, {"older_than": older_than, "most": BATCH}))
        removed += count
        if count < BATCH:
            return removed


def prune_sync(database: Database, older_than: timedelta) -> int:
    """As `prune`, for sync code."""
    removed = 0
    while True:
        count: int = answer_sync(database, (_PRUNE, {"older_than": older_than, "most": BATCH}))
        removed += count
        if count < BATCH:
            return removed


def old_captures(older_than: timedelta) -> Reading[int]:
    """How many captures are older than that."""
    query = "SELECT count(*) AS count FROM baton.baton_captures WHERE captured_at < now() - %(older_than)s::interval"
    rows = yield query, {"older_than": older_than}
    return int(rows[0]["count"])


def prune_captures_sync(database: Database, older_than: timedelta) -> int:
    """Remove what steps captured longer ago than that; their workflows stay.

    Args:
        database: Where they are.
        older_than: How long they are kept.

    Returns:
        How many were removed.
    """
    removed: int = answer_sync(database, (_PRUNE_CAPTURES, {"older_than": older_than}))
    return removed
