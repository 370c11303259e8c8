"""Steps that log. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import logging

import structlog

from baton_dsl import Each, Flow, Input, StepContext, step

logger = logging.getLogger("shop")


@step
def numbers(count: Input[int]) -> list[int]:
    logger.info("makes numbers")
    return list(range(count))


@step
async def says(numbers: Each[int], ctx: StepContext) -> int:
    await asyncio.sleep(0)
    logger.info("says %d", numbers)
    ctx.logger.info("told %d", numbers)
    return numbers


@step
def thinks(numbers: Each[int]) -> int:
    logger.info("thinks %d", numbers)
    return numbers


@step
async def structured(numbers: Each[int]) -> None:
    await asyncio.sleep(0)
    structlog.get_logger().info(numbers)


structured_talking = Flow("structured", numbers, structured)
talking = Flow("talking", numbers, says, thinks)


@step(max_attempts=1)
def fails() -> None:
    raise RuntimeError("no stock")


failing = Flow("failing", fails)
