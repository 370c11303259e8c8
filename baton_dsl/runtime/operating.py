"""What an operator does with workflows, each in one statement, for one or for many: cancel, retry, pause, prune."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from psycopg import sql
from psycopg.rows import tuple_row

from baton_dsl.runtime.database import Database


class Action(StrEnum):
    """What can be done to a workflow; the value is the name of the SQL function."""

    CANCEL = "baton_stop"
    RETRY = "baton_retry"
    PAUSE = "baton_pause"
    RESUME = "baton_resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which workflows are meant: those that meet every condition that is given.

    Attributes:
        ids: Their ids.
        flow: The name of their flow.
        label: Their label.
        outcome: How they ended: `completed`, `cancelled` or `discarded`.
        is_running: True for those with a node that has not settled, False for the others.
        older_than: How long ago they were inserted, at least.

    Example:
        >>> Which(flow="billing", outcome="discarded", older_than=timedelta(hours=1)).flow
        'billing'
    """

    ids: Iterable[str] | None = None
    flow: str | None = None
    label: str | None = None
    outcome: str | None = None
    is_running: bool | None = None
    older_than: timedelta | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in _CONDITIONS):
            raise ValueError("name the workflows: at least one condition of Which must be given")

    def query(self, prefix: str) -> tuple[sql.Composed, dict[str, Any]]:
        """The statement that selects their ids, and its parameters."""
        given: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS if getattr(self, name) is not None}
        if "ids" in given:
            given["ids"] = list(given["ids"])
        conditions = sql.SQL(" AND ").join(sql.SQL(_CONDITIONS[name]) for name in given)
        statement = sql.SQL("SELECT workflow_id FROM {} WHERE {} ORDER BY workflow_id").format(
            sql.Identifier(prefix, "baton_workflows"), conditions
        )
        return statement, given


_CONDITIONS: Final = {
    "ids": "workflow_id = ANY(%(ids)s)",
    "flow": "flow_name = %(flow)s",
    "label": "workflow_label = %(label)s",
    "outcome": "outcome = %(outcome)s",
    "is_running": "(outcome IS NULL) = %(is_running)s",
    "older_than": "inserted_at < now() - %(older_than)s::interval",
}


async def operate(database: Database, action: Action, which: Which) -> list[str]:
    """Do something to workflows, in one transaction.

    Args:
        database: Where they are.
        action: What to do: `Action.CANCEL` cancels all that has not started, and what runs is told so and not tried
            again; `RETRY` lets all run again that was cancelled or discarded, and keeps stored results; `PAUSE` lets
            nothing start until `RESUME`.
        which: To which.

    Returns:
        The ids of those to which it applied: a workflow that has ended can't be cancelled, one that completed can't be
        retried.
    """
    statement, values = _statement(database, action, which)
    async with database.connection() as conn:
        row = await (await conn.cursor(row_factory=tuple_row).execute(statement, values)).fetchone()
    return list(row[0]) if row is not None else []


def operate_sync(database: Database, action: Action, which: Which) -> list[str]:
    """As `operate`, for sync code."""
    statement, values = _statement(database, action, which)
    with database.sync_connection() as conn:
        row = conn.cursor(row_factory=tuple_row).execute(statement, values).fetchone()
    return list(row[0]) if row is not None else []


def _statement(database: Database, action: Action, which: Which) -> tuple[sql.Composed, dict[str, Any]]:
    chosen, values = which.query(database.prefix)
    function = sql.Identifier(database.prefix, action.value)
    return sql.SQL("SELECT {}(ARRAY({}))").format(function, chosen), values


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
    statement = sql.SQL("SELECT {}(%s, %s)").format(sql.Identifier(database.prefix, "baton_prune"))
    removed = 0
    while True:
        async with database.connection() as conn:
            row = await (await conn.cursor(row_factory=tuple_row).execute(statement, [older_than, BATCH])).fetchone()
        count: int = row[0] if row is not None else 0
        removed += count
        if count < BATCH:
            return removed


def prune_sync(database: Database, older_than: timedelta) -> int:
    """As `prune`, for sync code."""
    statement = sql.SQL("SELECT {}(%s, %s)").format(sql.Identifier(database.prefix, "baton_prune"))
    removed = 0
    with database.sync_connection() as conn:
        while True:
            row = conn.cursor(row_factory=tuple_row).execute(statement, [older_than, BATCH]).fetchone()
            count: int = row[0] if row is not None else 0
            removed += count
            if count < BATCH:
                return removed
