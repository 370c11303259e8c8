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
from baton_dsl.errors import BatonError, RetryError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.retrying import TRIES, pause_after
from baton_dsl.runtime.database.snapshot import Query, Reading, read, read_sync
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating import choosing
from baton_dsl.runtime.sql.statements import statement

TAKEN_BACK: Final = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)
"""Errors after which an action is repeated: it was rolled back because steps of the workflow settled concurrently."""


class Action(StrEnum):
    """The actions on workflows; the value is the name of the SQL function."""

    CANCEL = "baton_stop"
    RETRY = "baton_retry"
    PAUSE = "baton_pause"
    RESUME = "baton_resume"


async def operate(
    database: Database, action: Action, which: WorkflowFilter, *, from_step: str | None = None
) -> list[str]:
    """Apply an action to workflows, in one transaction.

    Args:
        database: The database of the workflows.
        action: The action. `Action.CANCEL` cancels every step that has not started; running steps are asked to stop,
            and not retried. `RETRY` runs all cancelled and discarded steps again, and keeps stored results. After
            `PAUSE`, no further step starts until `RESUME`.
        which: The workflows.
        from_step: For `RETRY`: run the step of that name and everything downstream again instead, completed or not.
            Their results are deleted; all others stay.

    Returns:
        The ids of the workflows to which it applied. A workflow that has ended can't be cancelled, and one that
        completed can't be retried. A workflow can't be retried from a step if that step or one downstream runs or has
        no job.
    """
    return list(await answer(database, _query(action, which, from_step)) or ())


def operate_sync(
    database: Database, action: Action, which: WorkflowFilter, *, from_step: str | None = None
) -> list[str]:
    """As `operate`, for sync code."""
    return list(answer_sync(database, _query(action, which, from_step)) or ())


class RetryOptions(TypedDict, total=False):
    """Options of a retry.

    Attributes:
        attempts: How many attempts each step gets that runs again after earlier attempts.
        models: Other models for steps that run again, by step.
    """

    attempts: int | None
    models: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The result of a retry.

    Attributes:
        ids: The workflows to which it applied.
        steps: How many steps run again after earlier attempts.
        fewest: The least number of attempts that one of these steps gets.
        most: The largest number of attempts that one of these steps gets.
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
    """Retry workflows, in one transaction. `operate` does the same with the attempts that are left.

    Args:
        database: The database of the workflows.
        which: The workflows.
        from_step: As for `operate`.
        attempts: How many attempts each step gets that runs again after earlier attempts; default: those it has left,
            at least one.
        models: Other models for steps that run again, by step. For one workflow, it is an error if such a step does not
            run again; for several workflows, the step keeps its model where it does not run again.

    Raises:
        StepNotInWorkflowError: BTN408, if `models` names a step that a workflow does not have.
        RetryError: BTN415, if the model of a step can't be changed.
        ValueError: If `attempts` is not a whole number from 1 to 32,767.
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
    """Check a number of attempts.

    Raises:
        ValueError: If it is not allowed.
    """
    if wrong := CHECKS["max_attempts"](attempts):
        raise ValueError(f"attempts must be {wrong}, got {attempts!r:.60}")


def _retry_query(
    which: WorkflowFilter, from_step: str | None, attempts: int | None, models: Mapping[str, str] | None
) -> Query:
    if attempts is not None:
        see_attempts(attempts)
    if from_step is not None:
        StepNotInWorkflowError.refuse_unstorable(from_step)
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
    """Call one of our SQL functions in a transaction of its own, and repeat it if it was rolled back."""
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
    StepNotInWorkflowError.refuse_unstorable(from_step)
    return _RETRY_FROM.format(chosen), {**values, "from_step": from_step}


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
    """Why a workflow could not be retried from a step; None if it can be now."""
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
"""How many workflows one transaction of a prune removes."""
_PRUNE: Final[LiteralString] = "SELECT baton.baton_prune(%(older_than)s::interval, %(most)s::int4)"
_PRUNE_CAPTURES: Final[LiteralString] = """
    WITH gone AS (
        DELETE FROM baton.baton_captures WHERE captured_at < now() - %(older_than)s::interval RETURNING 1
    )
    SELECT count(*) FROM gone
"""


async def prune(database: Database, older_than: timedelta) -> int:
    """Remove workflows that ended longer ago than an age, with their results. Running workflows are never removed.

    Args:
        database: The database of the workflows.
        older_than: How long they are kept.

    Returns:
        The number that was removed.
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
    """The number of captures that are older than an age."""
    query = "SELECT count(*) AS count FROM baton.baton_captures WHERE captured_at < now() - %(older_than)s::interval"
    rows = yield query, {"older_than": older_than}
    return int(rows[0]["count"])


def prune_captures_sync(database: Database, older_than: timedelta) -> int:
    """Remove captures that are older than an age; their workflows stay.

    Args:
        database: The database of the workflows.
        older_than: How long they are kept.

    Returns:
        The number that was removed.
    """
    removed: int = answer_sync(database, (_PRUNE_CAPTURES, {"older_than": older_than}))
    return removed
