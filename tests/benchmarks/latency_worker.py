"""A worker on a database until it is terminated."""

import asyncio
import signal
import sys

import uvloop
from oban import Oban


async def main(dsn: str) -> None:
    """Run it."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool = await Oban.create_pool(dsn)
    async with Oban(pool=pool, queues={"default": 100}):
        await stop.wait()
    await pool.close()


uvloop.run(main(sys.argv[1]))
