"""Steps that are asked to stop while they run. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import psycopg
from oban import Oban

from baton_dsl import StepContext, step

SEEN: list[str] = []
GO_ON = threading.Event()


async def hang() -> None:
    SEEN.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append("cleaned up")


@step(cancellable=True, max_attempts=3, backoff=0)
async def interruptible() -> None:
    try:
        await hang()
    finally:
        SEEN.append("ended")


@step(cancellable=True, max_attempts=3, backoff=0)
async def fails_to_clean_up() -> None:
    try:
        await hang()
    finally:
        SEEN.append("ended")
        raise RuntimeError("no broom")


@step(cancellable=True)
async def finishes_first() -> str:
    try:
        await hang()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    SEEN.append("ended")
    return "done"


@step(cancellable=True)
async def interruptible_with_connection(conn: psycopg.AsyncConnection[Any]) -> None:
    await conn.execute("INSERT INTO notes VALUES ('half')")
    try:
        await hang()
    finally:
        SEEN.append("ended")


@step(cancellable=True, timeout=0.1, max_attempts=2, backoff=0)
async def times_out() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append("cleaned up")


@step(max_attempts=3)
async def looks(context: StepContext) -> None:
    SEEN.append("begun")
    while not context.cancelled():
        await asyncio.sleep(0.01)
    SEEN.append("ended")
    context.cancel("asked to stop")


@step(max_attempts=3)
def looks_in_a_thread(context: StepContext) -> None:
    SEEN.append("begun")
    while not context.cancelled():
        time.sleep(0.01)
    SEEN.append("ended")
    context.cancel("asked to stop")


@step
async def looks_and_returns(context: StepContext) -> str:
    SEEN.append("begun")
    while not context.cancelled():
        await asyncio.sleep(0.01)
    SEEN.append("ended")
    return "as far as I came"


@step
def deaf() -> None:
    SEEN.append("begun")
    assert GO_ON.wait(60)


@step(max_attempts=3)
async def waits_to_be_told(context: StepContext) -> int:
    """Returns its attempt once a table called `told` is there, and notes when it begins and is stopped."""
    pool = Oban.get_instance()._query._pool
    told = "SELECT to_regclass('told') IS NOT NULL"
    if context.attempt == 1:
        async with pool.connection() as conn:
            await conn.execute("INSERT INTO notes VALUES ('begun')")
    try:
        while True:
            async with pool.connection() as conn:
                if await (await conn.execute(told)).fetchone() == (True,):
                    return context.attempt
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        with psycopg.connect(pool.conninfo) as conn:  # nobody waits for a clean-up that awaits
            conn.execute("INSERT INTO notes VALUES ('cleaned up')")
        raise
