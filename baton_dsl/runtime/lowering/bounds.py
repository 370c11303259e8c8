"""Compute the most that a flow can cost, from its steps alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from baton_dsl.core import defaults
from baton_dsl.core.rules.models import ALL_OTHERS
from baton_dsl.errors import UnknownPriceError
from baton_dsl.flow import Flow
from baton_dsl.llm.reserving import bound_of
from baton_dsl.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBound:
    """The most that a step can cost.

    Attributes:
        step: The name of the step.
        cost: The most that one attempt costs; None if that is unknown.
        attempts: How many attempts it may have.
        items: The most items of a map, or the number of its models; 1 for other steps.
        unknown: Why its cost is unknown.
    """

    step: str
    cost: Decimal | None
    attempts: int
    items: int
    unknown: str | None = None

    @property
    def total(self) -> Decimal | None:
        """The cost of all attempts of all items; None if it is unknown."""
        return None if self.cost is None else self.cost * self.attempts * self.items


def bounds_of(flow: Flow[..., Any]) -> list[CostBound]:
    """A bound for each step that has a model or declares its cost, in the order of the flow.

    Args:
        flow: A flow without findings.
    """
    specs = {spec.name: spec for spec in flow.checked().flow.steps}
    found: list[CostBound] = []
    for entry in flow.entries:
        step = entry.step
        if not isinstance(step, Step):
            continue
        chosen = flow.settings.models
        models = chosen.get(entry.name) or step.options.get("models") or chosen.get(ALL_OTHERS) or ()
        names = (models,) if isinstance(models, str) else tuple(models)
        cost, unknown = _attempt(step, names)
        if cost is None and unknown is None:
            continue
        levels = sum(parameter.each for parameter in specs[entry.name].parameters)
        items = int(step.options.get("max_items", defaults.MAX_ITEMS)) ** levels * max(1, len(names))
        attempts = int(step.options.get("max_attempts", defaults.MAX_ATTEMPTS))
        found.append(CostBound(step=entry.name, cost=cost, attempts=attempts, items=items, unknown=unknown))
    return found


def _attempt(step: Step[..., Any, Any, Any], models: tuple[str, ...]) -> tuple[Decimal | None, str | None]:
    """The most that one attempt costs, or why that is unknown; neither for a step that calls no model."""
    try:
        costs = [bound_of(step.options, model) for model in models] or [bound_of(step.options, None)]
    except UnknownPriceError as error:
        return None, f"{error.message}; {error.remedy}"
    known = [cost for cost in costs if cost is not None]
    if known:
        return max(known), None
    return None, "it has a model, and declares neither max_cost nor its tokens" if models else None
