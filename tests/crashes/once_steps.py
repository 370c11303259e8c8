"""A step whose process dies after each stored call."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from baton_dsl import Input, StepContext, step


async def pay(folder: str, number: int) -> int:
    with Path(folder, "calls").open("a") as calls:
        calls.write(f"{number}\n")
    return number * 10


@step(max_attempts=1_000, backoff=0)
async def pays_twice(folder: Input[str], context: StepContext) -> list[int]:
    return [await context.once("pay", pay, folder, number) for number in range(2)]


@step(max_attempts=1_000, backoff=0)
async def pays_thrice(folder: Input[str], context: StepContext) -> list[int]:
    paid = []
    for number in range(3):
        paid.append(await context.once("pay", pay, folder, number))
        mark = Path(folder, f"died-{number}")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return paid
