"""Hooks that the tests of the end use. A module of its own, since workers import hooks by name."""

from __future__ import annotations

import asyncio
import sys
import threading

from oban import Oban

from baton_dsl import Flow, WorkflowStatus
from tests.integration.modules import steps

CALLS: list[tuple[str, WorkflowStatus]] = []
THREADS: list[str] = []


def settled(status: WorkflowStatus) -> None:
    THREADS.append(threading.current_thread().name)
    CALLS.append(("settled", status))


async def cancelled(status: WorkflowStatus) -> None:
    CALLS.append(("cancelled", status))


async def discarded(status: WorkflowStatus) -> None:
    CALLS.append(("discarded", status))


def undeclared(status: WorkflowStatus) -> None:
    CALLS.append(("undeclared", status))


def declared(status: WorkflowStatus) -> None:
    CALLS.append(("declared", status))


def fails(status: WorkflowStatus) -> None:
    CALLS.append(("fails", status))
    raise RuntimeError("the pager is broken")


def exits(status: WorkflowStatus) -> None:
    CALLS.append(("exits", status))
    sys.exit("out of here")


async def exits_the_loop(status: WorkflowStatus) -> None:
    CALLS.append(("exits_the_loop", status))
    sys.exit("out of here")


async def hangs(_status: WorkflowStatus) -> None:
    """Creates a table called `begun`, and never ends."""
    async with Oban.get_instance()._query._pool.connection() as conn:
        await conn.execute("CREATE TABLE begun ()")
    await asyncio.Event().wait()


killed = Flow("killed", steps.noop, on_settled=hangs)


def hooked(*names: str) -> Flow:
    """One step, under each of these names, and all three hooks."""
    flow = Flow("hooked", on_settled=settled, on_cancelled=cancelled, on_discarded=discarded)
    for name in names:
        flow.add(name, steps.noop)
    return flow
