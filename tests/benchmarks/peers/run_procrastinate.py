"""procrastinate: a queue of jobs. There are no graphs: see `wide`."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import procrastinate
import psycopg

from tests.benchmarks.peers.work import CALLS, LIMIT, Engine, main

POLLING = 0.05
"""Seconds; 5 by default. Its worker forgets notifications that came while it fetched, and then waits for so long."""

app = procrastinate.App(connector=procrastinate.PsycopgConnector())


@app.task
async def noop() -> None:
    """Count the call."""
    CALLS.add()


@app.task
async def hop(left: int) -> None:
    """A job of a chain puts the next one into the queue itself."""
    CALLS.add()
    if left:
        await hop.defer_async(left=left - 1)


class Peer(Engine):
    """A worker that waits for notifications: without `wait`, it stops at the first empty fetch, amid a chain."""

    async def open(self, dsn: str, executes: bool) -> None:
        """The worker has a connection to listen, and a pool."""
        self._executes = executes
        self._conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        self._replaced = app.replace_connector(procrastinate.PsycopgConnector(conninfo=dsn))
        self._replaced.__enter__()
        await app.open_async()
        await app.schema_manager.apply_schema_async()
        worker = app.run_worker_async(
            concurrency=LIMIT, fetch_job_polling_interval=POLLING, install_signal_handlers=False
        )
        self._running = asyncio.create_task(worker) if executes else None
        if executes:
            await asyncio.sleep(0.5)  # it listens

    async def chain(self, length: int) -> None:
        """Each job defers the next, in another transaction than its own end."""
        await hop.defer_async(left=length - 1)

    async def wide(self, width: int) -> None:
        """No graph: as many jobs that wait for nothing."""
        await noop.batch_defer_async(*[{}] * (width + 2))

    async def diamonds(self, count: int) -> None:
        """No graph: as many jobs that wait for nothing."""
        await noop.batch_defer_async(*[{}] * (4 * count))

    async def insert(self, count: int) -> int:
        """As many jobs."""
        await self.diamonds(count)
        return 4 * count

    async def stored(self) -> int:
        """Jobs by their status."""
        status = "succeeded" if self._executes else "todo"
        query = f"SELECT count(*) FROM procrastinate_jobs WHERE status = '{status}'"
        row = await (await self._conn.execute(query.encode())).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        """The worker first."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await app.close_async()
        await self._conn.close()


main(Peer())
