"""Insert a workflow and follow it to its end, for `baton run` and `baton demo`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from baton_dsl.cli import progress
from baton_dsl.cli.database import Target
from baton_dsl.cli.target import AnyFlow
from baton_dsl.runtime.executing import process
from baton_dsl.runtime.workflow import Workflow, WorkflowStatus


async def insert(flow: AnyFlow, inputs: Mapping[str, Any], target: Target) -> Workflow[str]:
    """Insert a workflow in a transaction of its own."""
    async with await psycopg.AsyncConnection.connect(target.dsn) as conn:
        inserted = await flow.options(prefix=target.prefix).insert(conn, **inputs)
    return Workflow.load(inserted.id, dsn=target.dsn, prefix=target.prefix)


async def see_through(
    workflow: Workflow[str], target: Target, *, queues: Mapping[str, int], patience: float | None
) -> WorkflowStatus:
    """Follow a workflow to its end.

    Args:
        workflow: The workflow.
        target: Its database.
        queues: The queues that a node in this process serves meanwhile; empty if only other nodes run steps.
        patience: The most seconds to wait.
    """
    if not queues:
        return await progress.follow(workflow, progress.shown(), patience=patience)
    async with _node(target, queues) as running:
        return await progress.follow(workflow, progress.shown(), patience=patience, node=running)


@asynccontextmanager
async def _node(target: Target, queues: Mapping[str, int]) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(process.serve(target.dsn, queues=queues, prefix=target.prefix, grace=1.0))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
