"""How far a workflow has come, as plain values: what `Workflow.status` tells and what a hook is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

type Standing = Literal["running", "paused", "stopping", "completed", "cancelled", "discarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStatus:
    """How far a workflow has come.

    Attributes:
        id: The workflow's id.
        name: Its label.
        flow: The name of its flow.
        outcome: `completed`, `cancelled` (some node was, none was discarded) or `discarded`; None while it runs.
        standing: Its outcome; until it has one, `running`, `paused`, or `stopping` if it was cancelled as a whole and
            steps run still.
        counts: How many of its nodes are in each state that any is in.
        inserted_at: When it was inserted.
        settled_at: When its last node settled; None while it runs.
    """

    id: str
    name: str
    flow: str
    outcome: str | None
    standing: Standing
    counts: Mapping[str, int]
    inserted_at: datetime
    settled_at: datetime | None
