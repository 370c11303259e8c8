"""`WorkflowStatus`: the progress of a workflow as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

type Standing = Literal["running", "stuck", "paused", "stopping", "completed", "cancelled", "discarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStatus:
    """The progress of a workflow.

    Attributes:
        id: The workflow's id.
        name: Its label.
        flow: The name of its flow.
        outcome: `completed`, `cancelled` (a node was cancelled, none was discarded) or `discarded`; None while it runs.
        counts: How many of its nodes are in each state; states without nodes are left out.
        inserted_at: When it was inserted.
        settled_at: When its last node settled; None while it runs.
        paused_at: When it was paused; None if it is not.
        stopped_at: When it was cancelled as a whole; None if it was not.
    """

    id: str
    name: str
    flow: str
    outcome: str | None
    counts: Mapping[str, int]
    inserted_at: datetime
    settled_at: datetime | None
    paused_at: datetime | None = None
    stopped_at: datetime | None = None

    @property
    def standing(self) -> Standing:
        """Its outcome; until it has one, `running`, `paused`, or `stopping` if it was cancelled and steps still run.

        Whether it is `stuck` depends on what its steps wait for; `baton list` and `Workflow.why` show it.
        """
        return standing_of(self.outcome, self.stopped_at, self.paused_at)


def standing_of(outcome: str | None, stopped_at: datetime | None, paused_at: datetime | None) -> Standing:
    """The state of a workflow, from the columns of its row in `baton_workflows`."""
    if outcome is not None:
        return cast("Standing", outcome)
    if stopped_at is not None:
        return "stopping"
    return "paused" if paused_at is not None else "running"
