"""Steps that don't end when they are asked to."""

import asyncio
import time
from contextlib import suppress

from baton_dsl import Flow, step


@step
def sleeps_in_a_thread() -> None:
    time.sleep(300)


@step
async def swallows_cancellations() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(300)


@step
async def ends_when_it_is_cancelled() -> None:
    await asyncio.sleep(300)


@step
async def blocks_the_loop() -> None:
    time.sleep(300)


@step(timeout=0.05, max_attempts=20, backoff=0)
def times_out() -> None:
    time.sleep(300)


stubborn = Flow("stubborn", sleeps_in_a_thread, swallows_cancellations, ends_when_it_is_cancelled)
blocking = Flow("blocking", blocks_the_loop)
hung = Flow("hung", times_out)
