"""Steps that cost something."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from baton_dsl import Each, Input, StepContext, step
from baton_dsl.llm import Usage

RUNNING: list[str] = []
MOST: list[int] = []
"""How many ran at once, as each began."""


@step
def amounts(costs: Input[list[str]]) -> list[str]:
    return costs


@step(max_cost=Decimal("1.00"), max_attempts=3, backoff=0)
async def pays(amounts: Each[str], context: StepContext) -> str:
    RUNNING.append(amounts)
    MOST.append(len(RUNNING))
    try:
        await asyncio.sleep(0.01)
        context.record_usage(Usage(model="m", input=1, cost=Decimal(amounts)))
    finally:
        RUNNING.remove(amounts)
    return amounts


@step
def total(pays: list[str]) -> str:
    return str(sum(map(Decimal, pays)))


@step(max_cost=Decimal("2.50"))
async def asks(context: StepContext) -> int:
    context.record_usage(Usage(model="m", input=1, cost=Decimal(2)))
    return context.attempt


@step
async def follows(asks: int, context: StepContext) -> int:
    """It declares nothing, and has no model: it may always run."""
    context.record_usage(Usage(model="unpriced", input=1))
    return context.attempt


@step(max_cost=1)
async def asks_again(follows: int, context: StepContext) -> int:
    context.record_usage(Usage(model="unpriced", input=1))
    return context.attempt
