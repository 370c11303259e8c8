"""The recorded calls of models of a run in memory, as rows like those in the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from baton_dsl.core.items import step_of
from baton_dsl.llm.reports import Capture, Totals, WorkflowUsage
from baton_dsl.llm.responses import usage_of
from baton_dsl.llm.usage import Usage
from baton_dsl.runtime.usage.entries import CaptureEntry, UsageEntry
from baton_dsl.runtime.usage.reports import UNKNOWN_MODEL, summed, totals_of_call
from baton_dsl.testing.budgets import Budget


@dataclass(slots=True)
class Records:
    """The rows of one run.

    Attributes:
        budget: What the calls count against.
        calls: The calls of models, in order.
        exchanges: What was exchanged with models, in order.
        checkpoints: The stored results of inner calls, by job.
    """

    budget: Budget
    calls: list[UsageEntry] = field(default_factory=list)
    exchanges: list[CaptureEntry] = field(default_factory=list)
    checkpoints: dict[int, dict[tuple[str, int], str]] = field(default_factory=dict)

    async def usage(self, entry: UsageEntry) -> None:
        """Record a call of a model, and count it against the budget."""
        self.calls.append(entry)
        self.budget.charge(entry)

    async def capture(self, entry: CaptureEntry) -> None:
        """Record an exchange with a model."""
        self.exchanges.append(entry)

    async def stored(self, job_id: int) -> Mapping[tuple[str, int], str]:
        """The checkpoints of a job, by name and number."""
        return dict(self.checkpoints.get(job_id, {}))

    async def store(self, job_id: int, name: str, number: int, result: str) -> None:
        """Store a checkpoint."""
        self.checkpoints.setdefault(job_id, {}).setdefault((name, number), result)

    def forget(self, job_id: int | None) -> None:
        """Delete the checkpoints of a job whose step has its result."""
        if job_id is not None:
            self.checkpoints.pop(job_id, None)

    def total(self, order: Iterable[str]) -> WorkflowUsage:
        """The usage of all calls, with the steps in this order."""
        place = {name: at for at, name in enumerate(order)}
        parts: list[tuple[str, str, Totals]] = [
            (step_of(entry.place.node), entry.usage.model or UNKNOWN_MODEL, totals_of_call(entry.usage))
            for entry in self.calls
        ]
        usage = summed(sorted(parts, key=lambda part: (place.get(part[0], len(place)), part[0], part[1])))
        spent = None if self.budget.limit is None else self.budget.spent
        return replace(usage, budget=self.budget.limit, spent=spent)

    def captures(self, node: str) -> list[Capture]:
        """What a step, or an item of a map, exchanged with models."""
        return [
            Capture(
                step=step_of(entry.place.node),
                node=entry.place.node,
                attempt=entry.place.attempt,
                number=entry.number,
                captured_at=entry.captured_at,
                model=entry.model,
                request=json.loads(entry.request),
                response=None if entry.response is None else json.loads(entry.response),
                error=entry.error,
            )
            for entry in self.exchanges
            if node in (entry.place.node, step_of(entry.place.node))
        ]


@dataclass(frozen=True, slots=True)
class UnitJournal:
    """The journal of a step that a unit test calls. It reads usage like a worker, but stores nothing."""

    model: str | None

    def record_usage(
        self,
        response: object,
        *,
        model: str | None,
        provider: str | None,
        tier: str | None,
        latency: timedelta | None,
    ) -> Usage:
        """Return the usage that a worker would record."""
        return usage_of(response, model=model, provider=provider, tier=tier, latency=latency, default_model=self.model)

    def capture(self, request: object, response: object, error: BaseException | str | None, model: str | None) -> None:
        """Do nothing."""

    def once(self, _name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, because there is no earlier attempt."""
        return function(*args, **kwargs)
