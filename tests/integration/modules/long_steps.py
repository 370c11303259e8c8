"""Steps that do not end by themselves. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio

from baton_dsl import StepContext, step


@step(max_attempts=2)
async def hangs_at_first(context: StepContext) -> int:
    if context.attempt == 1:
        await asyncio.Event().wait()
    return context.attempt


@step(max_attempts=1)
async def hangs() -> None:
    await asyncio.Event().wait()


@step
async def waits_for_cancellation(context: StepContext) -> None:
    while not context.cancelled():
        await asyncio.sleep(0.01)
    raise RuntimeError("stopped half way")
