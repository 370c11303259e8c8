"""absurd: a task is a function that a worker runs; each step's result is a checkpoint as it returns."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd

from tests.benchmarks.peers.work import CALLS, LIMIT, Engine, main

QUEUE = "bench"


async def noop() -> None:
    """Count the call."""
    CALLS.add()


class Peer(Engine):
    """The worker and who spawns have a connection each, as its client makes them."""

    async def open(self, dsn: str, executes: bool) -> None:
        """`ABSURD_SQL` names the file with its schema."""
        self._executes = executes
        self._conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        await self._conn.execute(Path(os.environ["ABSURD_SQL"]).read_bytes())
        self._client = AsyncAbsurd(dsn, queue_name=QUEUE)
        await self._client.create_queue()
        self._worker = AsyncAbsurd(dsn, queue_name=QUEUE)
        for app in (self._client, self._worker):
            app.register_task(name="chain")(self._chain)
            app.register_task(name="wide")(self._wide)
        self._running = (
            asyncio.create_task(self._worker.start_worker(concurrency=LIMIT, poll_interval=0.01)) if executes else None
        )

    async def _chain(self, params: Any, ctx: Any) -> None:
        for _ in range(params["length"]):
            await ctx.step("step", noop)

    async def _wide(self, params: Any, ctx: Any) -> None:
        await ctx.step("first", noop)
        await asyncio.gather(*(ctx.step("middle", noop) for _ in range(params["width"])))
        await ctx.step("last", noop)

    async def chain(self, length: int) -> None:
        """One task."""
        await self._client.spawn("chain", {"length": length})

    async def wide(self, width: int) -> None:
        """One task; its steps share the worker's connection."""
        await self._client.spawn("wide", {"width": width})

    async def diamonds(self, count: int) -> None:
        """One by one: it has no call for many."""
        for _ in range(count):
            await self._client.spawn("wide", {"width": 2})

    async def insert(self, count: int) -> int:
        """One row of a task and one of its run for a workflow."""
        await self.diamonds(count)
        return count

    async def stored(self) -> int:
        """Checkpoints."""
        table = "absurd.c_bench" if self._executes else "absurd.t_bench"
        row = await (await self._conn.execute(f"SELECT count(*) FROM {table}".encode())).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        """The worker first."""
        self._worker.stop_worker()
        if self._running is not None:
            await self._running
        for app in (self._worker, self._client):
            await app.close()
        await self._conn.close()


main(Peer())
