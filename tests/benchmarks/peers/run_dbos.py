"""DBOS: a workflow is a function that the process runs; each step's result is stored as it returns."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import psycopg
from dbos import DBOS, DBOSClient
from psycopg.conninfo import conninfo_to_dict

from tests.benchmarks.peers.work import CALLS, LIMIT, Engine, main


@DBOS.step()
async def noop() -> None:
    """Count the call."""
    CALLS.add()


@DBOS.workflow()
async def chain(length: int) -> None:
    """One after the other."""
    for _ in range(length):
        await noop()


@DBOS.workflow()
async def wide(width: int) -> None:
    """Many beside each other."""
    await noop()
    await asyncio.gather(*(noop() for _ in range(width)))
    await noop()


@DBOS.workflow()
async def diamond() -> None:
    """Two beside each other."""
    await noop()
    await asyncio.gather(noop(), noop())
    await noop()


class Peer(Engine):
    """Its own process is its executor: nothing is queued, except by `insert`."""

    async def open(self, dsn: str, executes: bool) -> None:
        """With a pool as large as our limit of functions would have it, but not larger than a server allows."""
        parts = conninfo_to_dict(dsn)
        self._url = f"postgresql://{parts['user']}@/{parts['dbname']}?" + urlencode({"host": parts["host"]})
        self._executes = executes
        self._conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        DBOS(
            config={"name": "bench", "system_database_url": self._url, "log_level": "ERROR", "run_admin_server": False}
        )
        DBOS.launch()

    async def chain(self, length: int) -> None:
        """One workflow."""
        await DBOS.start_workflow_async(chain, length)

    async def wide(self, width: int) -> None:
        """One workflow."""
        await DBOS.start_workflow_async(wide, width)

    async def diamonds(self, count: int) -> None:
        """Started as its documentation says, one by one, `LIMIT` at once."""
        for start in range(0, count, LIMIT):
            await asyncio.gather(*(DBOS.start_workflow_async(diamond) for _ in range(min(LIMIT, count - start))))

    async def insert(self, count: int) -> int:
        """By its client, into a queue that nobody listens to: one row a workflow."""
        client = DBOSClient(system_database_url=self._url)
        for _ in range(count):
            client.enqueue({"queue_name": "nobodys", "workflow_name": "diamond"})
        client.destroy()
        return count

    async def stored(self) -> int:
        """Outputs of steps."""
        query = "SELECT count(*) FROM dbos.operation_outputs"
        if not self._executes:
            query = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'"
        row = await (await self._conn.execute(query.encode())).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        """The executor first."""
        DBOS.destroy()
        await self._conn.close()


main(Peer())
