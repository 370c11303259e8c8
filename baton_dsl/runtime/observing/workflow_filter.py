"""Which workflows a list shows or an operator means: conditions on the rows of `baton_workflows`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from psycopg import sql

from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import WorkflowNotFoundError


def _check_storable(name: str, text: str | None) -> None:
    if text is not None and (reason := unstorable(text)):
        raise WorkflowNotFoundError(f'no workflow has the {name} "{printable(text)}": {reason}')


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFilter:
    """Which workflows are meant: those that meet every condition that is given.

    Attributes:
        ids: Their ids.
        flow: The name of their flow.
        label: Their label.
        outcome: How they ended: `completed`, `cancelled` or `discarded`.
        is_running: True for those with a node that has not settled, False for the others.
        older_than: How long ago they were inserted, at least.
        newer_than: How long ago they were inserted, at the most.
        settled_before: How long ago their last node settled, at least.

    Example:
        >>> WorkflowFilter(flow="billing", outcome="discarded", older_than=timedelta(hours=1)).flow
        'billing'
    """

    ids: Iterable[str] | None = None
    flow: str | None = None
    label: str | None = None
    outcome: str | None = None
    is_running: bool | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    settled_before: timedelta | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in _CONDITIONS):
            raise ValueError("name the workflows: at least one condition of WorkflowFilter must be given")
        for name in ("flow", "label", "outcome"):
            _check_storable(name, getattr(self, name))

    @property
    def conditions(self) -> tuple[sql.Composed, dict[str, Any]]:
        """The conditions on rows of `baton_workflows`, and their parameters."""
        given: dict[str, Any] = {name: getattr(self, name) for name in _CONDITIONS if getattr(self, name) is not None}
        if "ids" in given:
            given["ids"] = list(given["ids"])
            for workflow_id in given["ids"]:
                _check_storable("id", workflow_id)
        return sql.SQL(" AND ").join(sql.SQL(_CONDITIONS[name]) for name in given), given

    def query(self, prefix: str) -> tuple[sql.Composed, dict[str, Any]]:
        """The statement that selects their ids, and its parameters."""
        conditions, given = self.conditions
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
    "newer_than": "inserted_at >= now() - %(newer_than)s::interval",
    "settled_before": "settled_at < now() - %(settled_before)s::interval",
}
