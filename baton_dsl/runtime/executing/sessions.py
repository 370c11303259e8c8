"""Provide connections and sessions for steps, and call functions with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import psycopg
from oban import Cancel, Job, Oban, Snooze
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from baton_dsl.runtime.database.silence import WatchedAsyncConnection, WatchedConnection
from baton_dsl.runtime.executing.settle import Finished
from baton_dsl.runtime.oban.bridge import connecting_of

IDLE: Final = 5
"""How many idle connections of each kind are kept. The limits of the queues bound how many are in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt of a step that takes a connection.

    Attributes:
        job: Its job.
        wants: The class of connection or session that the step takes.
        has_dict_rows: Whether its annotation says that rows are dicts: `psycopg.Connection[dict[str, Any]]`.
        function: Calls the step's function with the connection; returns a coroutine if it is async.
        finish: Converts what the function returned to what will be settled, or to Oban's `Cancel` or `Snooze`.
    """

    job: Job
    wants: type
    has_dict_rows: bool
    function: Callable[[Any], Any]
    finish: Callable[[Any], Finished | Cancel | Snooze]


class Phase(Enum):
    """The phase of a try."""

    BEGIN = "begin"
    FUNCTION = "function"
    WRITE = "write"
    """The function has returned; pending changes of a session are flushed."""
    SETTLE = "settle"
    """The settle, which is not interrupted."""

    @property
    def is_past_the_function(self) -> bool:
        """True once the function has returned."""
        return self in (Phase.WRITE, Phase.SETTLE)


@dataclass(slots=True)
class Progress:
    """The phase of a try, and whether its caller still waits."""

    phase: Phase = Phase.BEGIN
    is_given_up: bool = False


# --- what the function receives
# ------------------------------------------------------------------------------------------

# Everything runs in a transaction block of psycopg, in which commit() and rollback() of psycopg and of a SQLAlchemy
# # connection raise an error. Those of a session only end a savepoint, so code that commits works, and stays atomic.


def called(
    work: Work, progress: Progress, connection: Connection, driver: psycopg.Connection[Any]
) -> Finished | Cancel | Snooze:
    """Call the function of a sync step, and flush its session.

    Args:
        work: The attempt.
        progress: Updated when the function has returned.
        connection: The connection of SQLAlchemy.
        driver: The connection of psycopg below it, in a transaction block.
    """
    if issubclass(work.wants, psycopg.Connection):
        driver.row_factory = dict_row if work.has_dict_rows else tuple_row
        try:
            value = work.function(driver)
        finally:
            driver.row_factory = tuple_row
        progress.phase = Phase.WRITE
        return work.finish(value)
    connection.begin()
    if not issubclass(work.wants, Session):
        value = work.function(connection)
        progress.phase = Phase.WRITE
        return work.finish(value)
    session = work.wants(bind=connection, join_transaction_mode="create_savepoint")
    try:
        value = work.function(session)
        progress.phase = Phase.WRITE
        if not isinstance(value, Cancel | Snooze):
            session.flush()
        finished = work.finish(value)  # before the session expires its objects
        if isinstance(finished, Finished):
            session.commit()
    except BaseException:
        with suppress(Exception):  # the connection may be lost
            session.close()
        raise
    session.close()
    return finished


async def async_called(
    work: Work, progress: Progress, connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]
) -> Finished | Cancel | Snooze:
    """The same for an async step."""
    if issubclass(work.wants, psycopg.AsyncConnection):
        driver.row_factory = dict_row if work.has_dict_rows else tuple_row
        try:
            value = await work.function(driver)
        finally:
            driver.row_factory = tuple_row
        progress.phase = Phase.WRITE
        return work.finish(value)
    await connection.begin()
    if not issubclass(work.wants, AsyncSession):
        value = await work.function(connection)
        progress.phase = Phase.WRITE
        return work.finish(value)
    # Objects that expire at a commit would be reloaded on access, which an async session can't do.
    session = work.wants(bind=connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
    try:
        value = await work.function(session)
        progress.phase = Phase.WRITE
        if not isinstance(value, Cancel | Snooze):
            await session.flush()
        finished = work.finish(value)
        if isinstance(finished, Finished):
            await session.commit()
    except BaseException:
        with suppress(Exception):
            await session.close()
        raise
    await session.close()
    return finished


# --- where connections come from -------------------------------------------------------------------------------------

_URL: Final = "postgresql+psycopg://"
STAYS: Final = "SET idle_session_timeout = 0"
"""Keeps the server from closing idle connections: the next step would find them closed."""
LEVEL: Final = psycopg.IsolationLevel.READ_COMMITTED
"""The isolation level of a step's transaction: a serializable one might make the step run again and again."""
_POOL: Final = {"pool_size": IDLE, "max_overflow": -1}


def sync_engine(oban: Oban) -> Engine:
    """An engine for sync connections to the database of an Oban instance."""
    engine = create_engine(_URL, **_POOL)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> psycopg.Connection[Any]:
        # This runs in the step's thread. Oban is asked each time, because the password may change.
        conn = WatchedConnection.connect(**options, **asyncio.run(connecting_of(oban)))
        conn.isolation_level = LEVEL
        with conn.transaction():
            conn.execute(STAYS)
        return conn

    return engine


def async_engine(oban: Oban) -> AsyncEngine:
    """An engine for async connections to the database of an Oban instance."""

    async def connect(*_args: object, **options: Any) -> psycopg.AsyncConnection[Any]:
        conn = await WatchedAsyncConnection.connect(**options, **await connecting_of(oban))
        await conn.set_isolation_level(LEVEL)
        async with conn.transaction():
            await conn.execute(STAYS)
        return conn

    return create_async_engine(_URL, connect_args={"async_creator_fn": connect}, **_POOL)
