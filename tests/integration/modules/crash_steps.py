"""A map of which one item kills the process that runs it. A module of its own, since workers import steps by name."""

from __future__ import annotations

import os
import time

from baton_dsl import Each, Flow, Input, step


@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))


@step(max_attempts=5, max_crashes=2, backoff=0)
def deadly(numbers: Each[int]) -> int:
    if numbers == 3:
        time.sleep(0.3)
        os._exit(9)
    time.sleep(0.6)
    return numbers


@step(ignore_discarded=True)
def survivors(deadly: list[int | None]) -> list[int | None]:
    return deadly


killing = Flow("killing", numbers, deadly, survivors)


@step(max_attempts=2, backoff=0)
def fails(numbers: Each[int]) -> int:
    raise RuntimeError("no luck")


@step(max_attempts=3)
async def works() -> int:
    return 1


@step(max_attempts=3, max_crashes=1)
async def bears_none() -> int:
    return 1


@step(max_attempts=1, max_crashes=4)
async def bears_many() -> int:
    return 1
