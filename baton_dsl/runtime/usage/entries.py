"""The entries of journals, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baton_dsl.core.items import step_of
from baton_dsl.llm.usage import TOKENS, Usage


@dataclass(frozen=True, slots=True)
class Place:
    """One attempt of one step.

    Attributes:
        workflow_id: The id of its workflow.
        node: The step, or the item of a map: `orders[3]`.
        job_id: The id of Oban's job.
        attempt: The number of the attempt, from 1.
    """

    workflow_id: str
    node: str
    job_id: int
    attempt: int

    @property
    def extra(self) -> Mapping[str, Any]:
        """The fields of each log record."""
        return {"workflow_id": self.workflow_id, "step": self.node, "attempt": self.attempt}

    def columns(self) -> dict[str, Any]:
        """The columns that every row has."""
        return {
            "workflow_id": self.workflow_id,
            "step": step_of(self.node),
            "node": self.node,
            "job": self.job_id,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """One call of a model."""

    id: str
    place: Place
    usage: Usage

    def columns(self) -> dict[str, Any]:
        """The row for `baton_record_usage`."""
        usage = self.usage
        return {
            "id": self.id,
            **self.place.columns(),
            **{name: getattr(usage, name) for name in (*TOKENS, "model", "provider", "tier", "remark")},
            "latency": None if usage.latency is None else usage.latency.total_seconds(),
            "cost": None if usage.cost is None else str(usage.cost),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureEntry:
    """One exchange with a model."""

    id: str
    place: Place
    number: int
    model: str | None
    request: str
    response: str | None
    error: str | None
    captured_at: datetime
