"""Pools whose connections use TCP keepalives and time limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, Final, cast
from weakref import WeakKeyDictionary, ref

from psycopg import AsyncConnection, AsyncCursor, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from baton_dsl.runtime.database.silence import PATIENCE, WATCH, SilenceError, WatchedAsyncConnection

type Pool = AsyncConnectionPool[AsyncConnection[Any]]

KEPT_ALIVE: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Settings for TCP keepalives, unless the DSN has others: they detect a dead peer, and keep NAT entries alive."""


def kept_alive(dsn: str) -> str:
    """Add our defaults to a DSN where it does not set them."""
    said = conninfo_to_dict(dsn)
    return make_conninfo(dsn, **{name: value for name, value in KEPT_ALIVE.items() if name not in said})


async def _configure(conn: AsyncConnection[Any]) -> None:
    """Set the isolation level that Oban's statements and ours need; it is part of each BEGIN, without a round trip.

    Also tell the server to keep connections that are idle in the pool. Otherwise the next fetch would find them closed.
    """
    await conn.set_isolation_level(IsolationLevel.READ_COMMITTED)
    await conn.set_autocommit(True)
    await conn.execute("SET idle_session_timeout = 0")
    await conn.set_autocommit(False)


async def open_pool(dsn: str, *, min_size: int, max_size: int, **options: Any) -> Pool:
    """Open a pool of watched connections.

    Args:
        dsn: The database.
        min_size: The number of connections that are kept open.
        max_size: The most connections at once.
        options: Arguments for psycopg's connect, besides the DSN.
    """
    pool: Pool = AsyncConnectionPool(
        kept_alive(dsn), kwargs=options, min_size=min_size, max_size=max_size, configure=_configure, open=False
    )
    watch(pool)
    await pool.open()
    await pool.wait()
    return pool


def watch(pool: Pool) -> bool:
    """Watch the connections that a pool opens from now on, unless the application uses its own connection class.

    If one connection is silent, others often are too. So all idle connections of the pool are then replaced.

    Returns:
        True if the pool was not watched before.
    """
    if pool.connection_class is not AsyncConnection:
        return False
    pool_of = ref(pool)
    drained = float("-inf")

    class Watched(WatchedAsyncConnection):
        async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal drained
            try:
                return await super().wait(gen, *args, **kwargs)
            except SilenceError:
                now, pool = time.monotonic(), pool_of()
                if pool is not None and not pool.closed and now - drained > PATIENCE:
                    drained = now
                    await pool.drain()
                raise

    pool.connection_class = cast("type[AsyncConnection[Any]]", Watched)
    return True


_draining: Final[set[asyncio.Task[None]]] = set()


def rewatch(pool: Pool) -> None:
    """As `watch`, for a pool that is in use: its open connections are replaced."""
    if watch(pool) and not pool.closed:
        task = asyncio.get_running_loop().create_task(pool.drain())
        _draining.add(task)
        task.add_done_callback(_draining.discard)


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection in autocommit mode for one statement, because BEGIN and COMMIT would be two more round trips.

    If the defaults of the database or the role are not suitable, BEGIN and COMMIT are sent, with settings for this
    transaction: a serializable transaction may fail whenever others run concurrently, and one with a too short
    `statement_timeout` fails always.
    """
    async with pool.connection() as conn:
        before = conn.autocommit
        await conn.set_autocommit(True)
        try:
            with nullcontext() if isinstance(conn, WatchedAsyncConnection) else WATCH.over(conn):
                if await _suits(conn):
                    yield conn
                else:
                    async with _suited(conn):
                        yield conn
        finally:
            if not conn.closed and conn.info.transaction_status == TransactionStatus.IDLE:
                await conn.set_autocommit(before)


class Lease:
    """A connection that statements one after another keep, each as by `autocommit`: taking one anew costs time.

    It goes back when nothing follows, after an error, when somebody else waits for one, and after a while in any case,
    since the pool replaces old connections. It goes back at once where the statement needed a transaction: what it did
    is committed before anybody hears of it.

    Args:
        pool: Where it comes from.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: tuple[AsyncConnection[Any], AsyncExitStack, float] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """The connection, or another one while that is in use."""
        kept, self._kept = self._kept, None
        if kept is None:
            stack = AsyncExitStack()
            kept = await stack.enter_async_context(autocommit(self._pool)), stack, time.monotonic()
        conn, stack, since = kept
        async with stack:
            yield conn
            if conn.info.transaction_status == TransactionStatus.IDLE and self._may_keep(since):
                self._kept = conn, stack.pop_all(), since

    def _may_keep(self, since: float) -> bool:
        return self._kept is None and time.monotonic() - since < LONGEST_LEASE and not _is_wanted(self._pool)

    async def release(self) -> None:
        """Give it back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept[1].aclose()


LONGEST_LEASE: Final = 1.0
"""Seconds for which statements one after another keep a connection."""


def _is_wanted(pool: Pool) -> bool:
    """True if somebody waits for a connection of the pool."""
    return pool.get_stats().get("requests_waiting", 0) > 0


_suiting: Final[WeakKeyDictionary[AsyncConnection[Any], bool]] = WeakKeyDictionary()

SHORTEST: Final = 10_000
"""Milliseconds that one of our statements may need for thousands of steps on a busy server."""


async def _suits(conn: AsyncConnection[Any]) -> bool:
    """Whether the defaults of a connection suit a statement in autocommit mode. Checked once for each connection."""
    known = _suiting.get(conn)
    if known is None:
        cursor = AsyncCursor(conn, row_factory=tuple_row)
        row = await (await cursor.execute(_DEFAULTS)).fetchone()
        isolation, timeout = row or ("read committed", 0)
        known = _suiting[conn] = isolation == "read committed" and (timeout == 0 or timeout >= SHORTEST)
    return known


_DEFAULTS: Final = """
SELECT pg_catalog.current_setting('default_transaction_isolation'), setting::pg_catalog.int4
FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'
"""


@asynccontextmanager
async def _suited(conn: AsyncConnection[Any]) -> AsyncIterator[None]:
    level = conn.isolation_level
    await conn.set_isolation_level(IsolationLevel.READ_COMMITTED)
    try:
        async with conn.transaction():
            await conn.execute("SET LOCAL statement_timeout = 0")
            yield
    finally:
        if not conn.closed and conn.info.transaction_status == TransactionStatus.IDLE:
            await conn.set_isolation_level(level)
