"""A step for each way in which one can end. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import sys

from oban import Cancel, Snooze

from baton_dsl import Input, StepContext, step

HOUR = 3600


@step
def returns() -> int:
    return 7


@step(max_attempts=2, backoff=HOUR)
def raises() -> int:
    raise RuntimeError("no luck today")


@step(max_attempts=1)
def raises_at_last() -> int:
    raise RuntimeError("no luck at all")


@step
def returns_cancel() -> int:
    return Cancel("not today")  # type: ignore[return-value]


@step
def cancels(context: StepContext) -> int:
    context.cancel("not today")


@step
def returns_snooze() -> int:
    return Snooze(HOUR)  # type: ignore[return-value]


@step(max_attempts=1)
def snoozes(context: StepContext) -> int:
    context.snooze(HOUR)


@step(max_attempts=2, backoff=HOUR, timeout=0.05)
async def hangs() -> int:
    await asyncio.Event().wait()
    return 0


@step(max_attempts=1, timeout=0.05)
async def hangs_at_last() -> int:
    await asyncio.Event().wait()
    return 0


@step(max_attempts=1)
async def awaits_what_was_cancelled() -> int:
    task = asyncio.create_task(asyncio.sleep(HOUR))
    task.cancel()
    await task
    return 0


@step(max_attempts=2, backoff=HOUR)
def exits() -> int:
    sys.exit("out of here")


@step(max_attempts=1)
async def exits_at_last() -> int:
    sys.exit("out of here")


@step
async def cancels_in_a_group(context: StepContext) -> int:
    async def look() -> None:
        context.cancel("not today")

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
    return 0


@step
def lies() -> int:
    return "seven"  # type: ignore[return-value]


@step
def boasts() -> int:
    return 10**2000


@step
def misreads(number: Input[int]) -> int:
    return number


@step(queue="later")
def told(first: int | None) -> str:
    """What it was given."""
    return repr(first)


@step(queue="later")
def before() -> None: ...
