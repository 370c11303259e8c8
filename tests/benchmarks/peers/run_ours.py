"""Ours: a step is a job of Oban, a workflow is stored whole before it runs."""

from __future__ import annotations

import psycopg
from oban import Oban

from baton_dsl import Flow
from baton_dsl.runtime import schema
from tests.benchmarks.peers.counted import noop
from tests.benchmarks.peers.work import LIMIT, Engine, main


class Ours(Engine):
    """Inserts are by `insert` and `insert_many`."""

    async def open(self, dsn: str, executes: bool) -> None:
        """Its worker runs steps as `baton worker` does."""
        schema.install(dsn)
        self._executes = executes
        self._conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        self._pool = await Oban.create_pool(dsn)
        self._oban = Oban(pool=self._pool, queues={"default": LIMIT} if executes else {})
        if executes:
            await self._oban.start()

    async def chain(self, length: int) -> None:
        """Each step depends on the one before."""
        flow = Flow("chain").add("step_0", noop)
        for index in range(1, length):
            flow.add(f"step_{index}", noop, deps=[f"step_{index - 1}"])
        await flow.insert(self._conn)

    async def wide(self, width: int) -> None:
        """A static graph."""
        flow = Flow("wide").add("first", noop)
        for index in range(width):
            flow.add(f"middle_{index}", noop, deps=["first"])
        flow.add("last", noop, deps=[f"middle_{index}" for index in range(width)])
        await flow.insert(self._conn)

    async def diamonds(self, count: int) -> None:
        """All in one transaction."""
        flow = Flow("diamond").add("top", noop).add("left", noop, deps=["top"]).add("right", noop, deps=["top"])
        flow.add("bottom", noop, deps=["left", "right"])
        await flow.insert_many(self._conn, [{}] * count)

    async def insert(self, count: int) -> int:
        """The same."""
        await self.diamonds(count)
        return 4 * count

    async def stored(self) -> int:
        """Nodes by their outcome."""
        ended = "IS NOT NULL" if self._executes else "IS NULL"
        query = f"SELECT count(*) FROM workflow_nodes WHERE outcome {ended}"
        row = await (await self._conn.execute(query.encode())).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        """The worker first."""
        if self._executes:
            await self._oban.stop()
        await self._pool.close()
        await self._conn.close()


main(Ours())
