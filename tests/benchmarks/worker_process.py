"""A worker on a database until nothing is left to do; prints its peak memory in MiB."""

import asyncio
import resource
import sys

from oban import Oban


async def main(dsn: str) -> None:
    """Run it."""
    pool = await Oban.create_pool(dsn)
    left = "SELECT EXISTS (SELECT FROM oban_jobs WHERE state NOT IN ('completed', 'cancelled', 'discarded'))"
    async with Oban(pool=pool, queues={"default": 100}):
        while True:
            async with pool.connection() as conn:
                if (await (await conn.execute(left)).fetchone()) == (False,):
                    break
            await asyncio.sleep(0.05)
    await pool.close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


asyncio.run(main(sys.argv[1]))
