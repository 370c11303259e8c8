"""Remove workflows that ended long ago; a worker does so while it runs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import psycopg

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.operating.actions import prune

logger = logging.getLogger(__name__)

MOST_OFTEN: Final = timedelta(seconds=10)
SELDOMEST: Final = timedelta(hours=1)


def interval(retain: timedelta) -> timedelta:
    """How long to wait between two prunes: a hundredth of the retention time, within bounds.

    Examples:
        >>> [str(interval(timedelta(days=days))) for days in (30, 1, 0)]
        ['1:00:00', '0:14:24', '0:00:10']
    """
    return min(max(retain / 100, MOST_OFTEN), SELDOMEST)


@asynccontextmanager
async def retention(database: Database, retain: timedelta | None) -> AsyncIterator[None]:
    """Remove workflows that ended longer ago than an age, again and again while the context lasts.

    Several nodes may do so at once: none waits for another.

    Args:
        database: The database of the workflows.
        retain: How long ended workflows are kept; None keeps them for ever.
    """
    if retain is None:
        yield
        return
    pruning = asyncio.create_task(_prune_again_and_again(database, retain))
    try:
        yield
    finally:
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)


async def _prune_again_and_again(database: Database, retain: timedelta) -> None:
    while True:
        try:
            removed = await prune(database, retain)
        except psycopg.Error:
            logger.warning(
                "workflows that ended long ago could not be removed; this is tried again later", exc_info=True
            )
        else:
            if removed:
                logger.info("removed %d workflows that ended more than %s ago", removed, retain)
        # Nodes that were started together should not prune at the same time.
        await asyncio.sleep(interval(retain).total_seconds() * random.uniform(0.8, 1.2))  # noqa: S311
