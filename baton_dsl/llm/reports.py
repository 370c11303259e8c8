"""The usage and the captures of a workflow, as `Workflow.usage` and `Workflow.captures` return them."""

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
        calls: The number of calls.
        input: Tokens of the requests, including those that were read from or written to a cache.
        cached: The part of `input` that was read from a cache.
        cache_write: The part of `input` that was written to a cache.
        output: Tokens of the answers, including those of reasoning.
        reasoning: The part of `output` that is reasoning.
        latency: How long the calls took in total.
        cost: The cost of the calls whose cost is known.
        unpriced: The number of calls whose cost is not known.
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
        """True if the calls may have cost more than `cost`, because the price of some is unknown."""
        return self.unpriced > 0

    def __add__(self, other: Totals) -> Totals:
        """Add two totals."""
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
    """The usage of the steps of a workflow, including failed attempts.

    Attributes:
        total: The totals of all calls.
        steps: The totals of each step; the items of a map count together.
        models: The totals of each model; calls without one are under `unknown`.
        budget: What the workflow may cost; None if it has no budget.
        spent: What counts against the budget. For a call without a known cost, that is what the attempt had reserved.
    """

    total: Totals
    steps: Mapping[str, Totals]
    models: Mapping[str, Totals]
    budget: Decimal | None = None
    spent: Decimal | None = None

    @property
    def cost(self) -> Decimal:
        """What all calls cost; a lower bound if `lower_bound`."""
        return self.total.cost

    @property
    def lower_bound(self) -> bool:
        """True if the price of some call is unknown, so that `cost` may be too low."""
        return self.total.lower_bound


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One exchange with a model, recorded by a step with `debug=True`. Secrets were removed before it was stored.

    Attributes:
        step: The name of the step.
        node: The step, or the item of a map: `orders[3]`.
        attempt: The number of the attempt.
        number: The number of the exchange in that attempt, from 1.
        captured_at: When it was captured.
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
