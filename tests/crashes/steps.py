"""Steps that may be killed at any moment. Each result follows from the upstreams' results, whatever happened before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from oban import Job, worker

from baton_dsl import Each, Input, Skip, StepContext, step
from tests.crashes.notebook import NOTEBOOK
from tests.crashes.points import TRAP, Point

MANY = 1_000
"""Attempts of a step that must complete in the end: being killed uses one."""


class Note:
    """The return value of each run: `return note(value)`."""

    returned: Any = None

    def __call__[T](self, value: T) -> T:
        self.returned = value
        return value


@contextmanager
def noted(context: StepContext) -> Iterator[Note]:
    """For steps in threads."""
    assert context.job.id is not None
    run, note = NOTEBOOK.begin(context.job.id, context.attempt), Note()
    try:
        TRAP.reach(Point.IN_FUNCTION)
        yield note
    finally:
        NOTEBOOK.end(run, note.returned)


@asynccontextmanager
async def noted_async(context: StepContext) -> AsyncIterator[Note]:
    """For steps on the event loop, which a restart of the server must not hold up."""
    assert context.job.id is not None
    run, note = await asyncio.to_thread(NOTEBOOK.begin, context.job.id, context.attempt), Note()
    try:
        TRAP.reach(Point.IN_FUNCTION)
        yield note
    finally:
        await asyncio.to_thread(NOTEBOOK.end, run, note.returned)


def total(seed: int, context: StepContext) -> int:
    """Count results of cancelled or discarded upstreams, and of plain jobs, as nothing."""
    return seed + sum(value or 0 for value in context.upstream.values())


@step(max_attempts=MANY, backoff=0)
async def adds(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    async with noted_async(context) as note:
        await asyncio.sleep(seconds)
        return note(total(seed, context))


@step(max_attempts=MANY, backoff=0)
def adds_in_a_thread(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    with noted(context) as note:
        time.sleep(seconds)
        return note(total(seed, context))


@step(max_attempts=MANY, backoff=0)
async def fails_at_first(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    async with noted_async(context) as note:
        await asyncio.sleep(seconds)
        if context.attempt == 1:
            raise RuntimeError("no luck at first")
        return note(total(seed, context))


@step(max_attempts=MANY, backoff=0)
async def snoozes_at_first(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    async with noted_async(context) as note:
        await asyncio.sleep(seconds)
        if not context.job.meta.get("snoozed"):
            context.snooze(0)
        return note(total(seed, context))


@step(max_attempts=3, backoff=0)
async def fails(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    async with noted_async(context):
        await asyncio.sleep(seconds)
        raise RuntimeError(f"no luck, {seed}")


@step(max_attempts=MANY, backoff=0)
def cancels(seed: Input[int], seconds: Input[float], context: StepContext) -> int:
    with noted(context):
        time.sleep(seconds)
        context.cancel(f"not today, {seed}")


@step(max_attempts=MANY, backoff=0)
async def numbers(count: Input[int], context: StepContext) -> list[int]:
    async with noted_async(context) as note:
        return note(list(range(count)))


@step(max_attempts=MANY, backoff=0, max_concurrency=10)
async def squares(numbers: Each[int], seconds: Input[float], context: StepContext) -> int:
    async with noted_async(context) as note:
        await asyncio.sleep(seconds)
        return note(numbers * numbers)


@step(max_attempts=MANY, backoff=0)
def sum_of_squares(squares: list[int], context: StepContext) -> int:
    with noted(context) as note:
        return note(sum(squares))


@step(max_attempts=MANY, backoff=0)
async def is_even(sum_of_squares: int, context: StepContext) -> int | Skip:
    async with noted_async(context) as note:
        return note(sum_of_squares) if sum_of_squares % 2 == 0 else Skip("odd")


@step(max_attempts=MANY, backoff=0)
async def half(is_even: int, context: StepContext) -> int:
    async with noted_async(context) as note:
        return note(is_even // 2)


@step(max_attempts=MANY, backoff=0)
async def either(half: int | None, context: StepContext) -> int:
    async with noted_async(context) as note:
        return note(half or 0)


@worker(max_attempts=MANY)
class PlainWorker:
    """A job of Oban's own that is a node."""

    async def process(self, job: Job) -> None:
        await asyncio.sleep(job.args["seconds"])
