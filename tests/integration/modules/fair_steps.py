"""Steps that take a while. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio

from baton_dsl import Input, StepContext, step

STARTS: list[str] = []
"""The names of the steps in the order in which they started."""


@step
async def link(seconds: Input[float], context: StepContext) -> None:
    STARTS.append(context.step)
    await asyncio.sleep(seconds)


@step(priority=5)
async def low(seconds: Input[float], context: StepContext) -> None:
    STARTS.append(context.step)
    await asyncio.sleep(seconds)


@step(priority=0)
async def urgent(context: StepContext) -> None:
    STARTS.append(context.step)


@step(queue="elsewhere")
async def elsewhere() -> None: ...
