"""Steps and flows that the tests of the dashboard run. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from baton_dsl import Each, Flow, From, Input, StepContext, step
from baton_dsl.llm import Usage

GO: dict[str, asyncio.Event] = {}
"""What a step of a country waits for, so that a page can be looked at while it runs."""


@step
async def regions(country: Input[str]) -> list[str]:
    if country in GO:
        await GO[country].wait()
    return [f"{country}-north", f"{country}-south"]


@step(max_attempts=1)
async def orders(regions: Each[str], fail: Input[str] = "") -> int:
    if fail and regions.endswith(fail):
        raise RuntimeError(f"no route to {regions}")
    return len(regions)


@step
async def report(orders: list[int], regions: list[str]) -> str:
    return f"{sum(orders)} from {len(regions)}"


shop = Flow("shop", regions, orders, report)


@step(max_attempts=1)
async def refuse(words: Input[str]) -> str:
    raise RuntimeError(words)


@step
async def behind(refuse: str) -> str:
    return refuse


@step
async def echo(words: Input[str]) -> dict[str, str]:
    return {words: words}


hostile = Flow("hostile", refuse, behind, echo)


@step
async def start() -> int:
    return 0


@step
async def part(start: int) -> int:
    return start


@step
async def join(left: int = From(start)) -> int:
    return left


def wide(parts: int) -> Flow:
    """A flow of `start`, that many parts, and `end`."""
    flow = Flow("wide").add("start", start)
    for number in range(parts):
        flow = flow.add(f"part_{number}", part, deps=["start"])
    return flow.add("end", join, deps=[f"part_{number}" for number in range(parts)])


@step
async def summarize(words: Input[str], context: StepContext) -> str:
    for number in range(2):
        context.record_usage(Usage(input=1200, output=80, cost=Decimal("0.0042")), model=f"model {number} {words[:20]}")
    context.capture(request={"prompt": words}, response={"text": words}, model="model")
    return words


summary = Flow("summary", summarize)


@step(max_cost=Decimal(3))
async def costly(words: Input[str], context: StepContext) -> str:
    context.record_usage(Usage(input=10, output=10, cost=Decimal(3)), model="model")
    return words


@step(max_cost=Decimal(3))
async def costlier(costly: str, context: StepContext) -> str:
    context.record_usage(Usage(input=10, output=10, cost=Decimal(3)), model="model")
    return costly


bounded = Flow("bounded", costly, costlier)
