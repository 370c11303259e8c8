"""What a workflow has used, and what its steps said to models: the values that `Workflow` gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sum of many calls of models.

    Attributes:
        calls: How many.
        input: Tokens of the requests, with those that were read from or written to a cache.
        cached: Of these, those that were read from a cache.
        cache_write: Of these, those that were written to a cache.
        output: Tokens of the answers, with those of reasoning.
        reasoning: Of these, those of reasoning.
        latency: How long the calls took, together.
        cost: What those calls cost whose cost is known.
        unpriced: How many calls have no known cost.
    """

    calls: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    latency: timedelta = timedelta(0)
    cost: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def lower_bound(self) -> bool:
        """True if the calls have cost more than `cost`, since the price of some is unknown."""
        return self.unpriced > 0

    def __add__(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(
            calls=self.calls + other.calls,
            input=self.input + other.input,
            cached=self.cached + other.cached,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
            latency=self.latency + other.latency,
            cost=self.cost + other.cost,
            unpriced=self.unpriced + other.unpriced,
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUsage:
    """What the steps of a workflow have used, failed attempts included.

    Attributes:
        total: All calls.
        steps: By the name of the step; the items of a map count together.
        models: By the name of the model; calls without one are under `unknown`.
        budget: What the workflow may cost; None if it has no budget.
        spent: What counts against the budget: also what a call without a known cost had reserved.
    """

    total: Totals
    steps: Mapping[str, Totals]
    models: Mapping[str, Totals]
    budget: Decimal | None = None
    spent: Decimal | None = None

    @property
    def cost(self) -> Decimal:
        """What all calls cost; at least, if `lower_bound`."""
        return self.total.cost

    @property
    def lower_bound(self) -> bool:
        """True if the price of some call is unknown, so that `cost` is too low."""
        return self.total.lower_bound


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One exchange with a model, as a step recorded it under `debug=True`. Secrets were removed before it was written.

    Attributes:
        step: The name of the step.
        node: The step, or the item of a map: `orders[3]`.
        attempt: Which attempt it was.
        number: Which exchange of that attempt it was, from 1.
        captured_at: When.
        model: The model.
        request: What was sent, as plain data.
        response: What came back; None if nothing did.
        error: What went wrong; None if nothing did.
    """

    step: str
    node: str
    attempt: int
    number: int
    captured_at: datetime
    model: str | None
    request: Any = field(repr=False)
    response: Any = field(repr=False)
    error: str | None
