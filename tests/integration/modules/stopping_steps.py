"""Steps that run while their instance stops, and threads that outlive their attempt."""

from __future__ import annotations

import asyncio
import threading

from baton_dsl import StepContext, step

RUNS: list[tuple[str, int]] = []
"""Name and attempt, as each begins."""
GO_ON = threading.Event()
"""Lets the steps in threads return."""


@step(max_attempts=3)
def holds_a_thread(context: StepContext) -> int:
    RUNS.append((context.step, context.attempt))
    GO_ON.wait(60)
    return context.attempt


@step(timeout=0.05, max_attempts=20, backoff=0)
def loses_its_thread(context: StepContext) -> int:
    RUNS.append((context.step, context.attempt))
    GO_ON.wait(60)
    return context.attempt


@step(max_attempts=3)
async def waits(context: StepContext) -> int:
    RUNS.append((context.step, context.attempt))
    while not GO_ON.is_set():
        await asyncio.sleep(0.005)
    return context.attempt


@step(cancellable=True)
async def is_interrupted(context: StepContext) -> None:
    RUNS.append((context.step, context.attempt))
    await asyncio.sleep(300)
