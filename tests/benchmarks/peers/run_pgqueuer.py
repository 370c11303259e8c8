"""pgqueuer: a queue of jobs. There are no graphs: see `wide`."""

from __future__ import annotations

import asyncio

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from tests.benchmarks.peers.work import CALLS, LIMIT, Engine, main


class Peer(Engine):
    """On a pool of asyncpg: one connection of psycopg is locked by its listener until the next notification."""

    async def open(self, dsn: str, executes: bool) -> None:
        """Its tables are logged, as it installs them."""
        self._executes = executes
        parts = dict(part.split("=", 1) for part in dsn.split())
        self._pool = await asyncpg.create_pool(
            host=parts["host"].strip("'"), user=parts["user"], database=parts["dbname"], min_size=5, max_size=10
        )
        self._queries = Queries(AsyncpgPoolDriver(self._pool))
        await self._queries.install()
        self._running = None
        if executes:
            queue = self._queue = PgQueuer(AsyncpgPoolDriver(self._pool))

            @queue.entrypoint("noop")
            async def noop(job: Job) -> None:
                CALLS.add()

            @queue.entrypoint("hop")
            async def hop(job: Job) -> None:
                CALLS.add()
                if left := int(job.payload or b"0"):
                    await self._queries.enqueue("hop", str(left - 1).encode())

            self._running = asyncio.create_task(queue.run(batch_size=LIMIT // 2, max_concurrent_tasks=LIMIT))
            await asyncio.sleep(1)  # it listens

    async def chain(self, length: int) -> None:
        """Each job enqueues the next, in another transaction than its own end."""
        await self._queries.enqueue("hop", str(length - 1).encode())

    async def wide(self, width: int) -> None:
        """No graph: as many jobs that wait for nothing."""
        await self._queries.enqueue(["noop"] * (width + 2), [None] * (width + 2), [0] * (width + 2))

    async def diamonds(self, count: int) -> None:
        """No graph: as many jobs that wait for nothing."""
        await self.wide(4 * count - 2)

    async def insert(self, count: int) -> int:
        """As many jobs."""
        await self.diamonds(count)
        return 4 * count

    async def stored(self) -> int:
        """The log, in which the end of a job is; its row is deleted."""
        status = ("pgqueuer_log", "successful") if self._executes else ("pgqueuer", "queued")
        return int(await self._pool.fetchval(f"SELECT count(*) FROM {status[0]} WHERE status = '{status[1]}'"))

    async def close(self) -> None:
        """The worker first."""
        if self._running is not None:
            self._queue.shutdown.set()
            await self._running
        await self._pool.close()


main(Peer())
