"""One worker process: run an Oban instance until it is asked to stop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from oban import Oban

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.dsn import read
from baton_dsl.runtime.database.pooling import DIRECT
from baton_dsl.runtime.database.pools import open_pool
from baton_dsl.runtime.database.prefix import checked_prefix
from baton_dsl.runtime.executing.leaving import Leaving
from baton_dsl.runtime.oban.bridge import running_jobs
from baton_dsl.runtime.oban.companions import accompany_instances
from baton_dsl.runtime.observing.endpoint import Exposition, served
from baton_dsl.runtime.observing.health import Health
from baton_dsl.runtime.operating.retention import retention

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node serves its metrics and its health.

    Attributes:
        host: The address to listen on.
        port: The port.
        exposition: Returns the metrics.
    """

    host: str
    port: int
    exposition: Exposition


async def serve(
    dsn: str,
    *,
    queues: Mapping[str, int],
    prefix: str = "public",
    modules: Sequence[str] = (),
    grace: float = 15.0,
    retain: timedelta | None = None,
    ready: asyncio.Event | None = None,
    leaving: Leaving | None = None,
    is_paused: bool = False,
    endpoint: Endpoint | None = None,
) -> None:
    """Run the steps of some queues until the task is cancelled, or until SIGTERM or SIGINT.

    Jobs that run then may finish within the grace period; another node runs those again that do not.

    Args:
        dsn: The database.
        queues: How many jobs of each queue run at once.
        prefix: The schema of Oban's tables.
        modules: Modules to import at the start, so that a missing one is reported at once and not by the first job.
        grace: Seconds that running jobs get when the node stops.
        retain: How long workflows that have ended are kept; None keeps them until `baton prune`.
        ready: Set once the node takes jobs.
        leaving: Handles signals, and limits how long the end takes, for a process that does nothing else.
        is_paused: Whether its queues are paused at the start.
        endpoint: Where it serves its metrics and its health; None for nowhere.

    Raises:
        ConnectionStringError: BTN421, if the connection string can't be read.
        ImportError: If a module can't be imported.
    """
    dsn = read(dsn)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        importlib.import_module(module)
    accompany_instances()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if leaving is None else ()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    # Fetch, gate, settle and stage each need a connection; more jobs than that wait for their functions, not for one.
    # If there is a direct address, the DSN is that of a pooler, which loses prepared statements.
    options = {"prepare_threshold": None} if os.environ.get(DIRECT) else {}
    pool = await open_pool(dsn, min_size=2, max_size=8, **options)
    limited: dict[str, int | dict[str, Any]] = {
        name: {"limit": limit, "paused": is_paused} for name, limit in queues.items()
    }
    oban = Oban(pool=pool, queues=limited, prefix=checked_prefix(prefix), shutdown_grace_period=grace, name="Oban")
    if leaving is not None:
        leaving.serves(lambda: loop.call_soon_threadsafe(stop.set), lambda: running_jobs(oban))
    try:
        async with AsyncExitStack() as stack:
            health = Health(oban, dsn)
            if endpoint is not None:
                stack.enter_context(served(endpoint.host, endpoint.port, health, endpoint.exposition))
            await stack.enter_async_context(oban)
            await stack.enter_async_context(retention(Database(prefix, "Oban", dsn), retain))
            if endpoint is not None:
                await stack.enter_async_context(health.watched())
            paused = ", paused" if is_paused else ""
            logger.info("node runs %s%s", ", ".join(f"{queue}:{limit}" for queue, limit in queues.items()), paused)
            if ready is not None:
                ready.set()
            await stop.wait()
            health.stops()
            if leaving is None:
                logger.info("node stops; running jobs have %g s", grace)
    finally:
        await pool.close()
        for number in signals:
            loop.remove_signal_handler(number)
