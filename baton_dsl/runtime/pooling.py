"""Poolers between us and the server, such as pgbouncer: whether there is one, and whether it leaves us a session.

In transaction mode each transaction may run in another backend. Whatever belongs to a session is lost by the next
statement, or worse, stays with a stranger: locks, LISTEN, prepared statements.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import dup
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from baton_dsl.errors import SessionNeededError

DIRECT: Final = "BATON_DIRECT_DSN"
"""The environment variable that names the server itself where the DSN names a pooler."""
ROUNDS: Final = 3
"""Times that it is tried: what else goes through a pooler may let a try look like a session."""
ANSWER: Final = 5.0
"""Seconds for an answer: in a pooler that has no server left for a statement, it waits for one."""

BACKEND: Final = "SELECT pg_backend_pid()"
_LOCK: Final = "SELECT pg_advisory_lock(%s::bigint)"
_HELD: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()
        AND (classid::bigint << 32) | objid::bigint = %s
)
"""
_UNLOCK: Final = "SELECT CASE WHEN held THEN pg_advisory_unlock(%s::bigint) END FROM ({}) AS own (held)"


def is_direct(conn: psycopg.Connection[Any]) -> bool:
    """True if nothing is between us and the backend: a pooler gives numbers of its own at the login."""
    row = conn.cursor(row_factory=tuple_row).execute(BACKEND).fetchone()
    return row is not None and row[0] == conn.info.backend_pid


async def is_direct_async(conn: psycopg.AsyncConnection[Any]) -> bool:
    """As `is_direct`."""
    row = await (await conn.cursor(row_factory=tuple_row).execute(BACKEND)).fetchone()
    return row is not None and row[0] == conn.info.backend_pid


def is_session(conn: psycopg.Connection[Any], connect: Callable[[], psycopg.Connection[Any]]) -> bool:
    """True if two statements of a connection run in the same backend, so that a lock that the first takes is held.

    Behind a pooler that is tried, while another connection occupies the server that the first statement ran in.

    Args:
        conn: The connection, in autocommit mode.
        connect: Opens another one, in the same way.
    """
    if is_direct(conn):
        return True
    return all(_holds_a_lock(conn, connect) for _ in range(ROUNDS))


def _holds_a_lock(conn: psycopg.Connection[Any], connect: Callable[[], psycopg.Connection[Any]]) -> bool:
    key = random.getrandbits(62)
    unlock = _UNLOCK.format(_HELD)
    try:
        with answering(conn):
            conn.execute(_LOCK, [key])
        with suppress(psycopg.OperationalError), connect() as other, answering(other), other.transaction():
            other.execute(BACKEND)
            with answering(conn):
                (is_held,) = conn.cursor(row_factory=tuple_row).execute(_HELD, [key]).fetchone() or (False,)
            if not is_held:
                other.execute(unlock.encode(), [key, key])  # likely it is the one that has it now
                return False
        with answering(conn):  # the other one may have waited in vain for a server of its own
            (was_held,) = conn.cursor(row_factory=tuple_row).execute(unlock.encode(), [key, key]).fetchone() or (False,)
    except psycopg.OperationalError:  # no server was left for the second statement: the first one's was given away
        return False
    return bool(was_held)


@contextmanager
def answering(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Shut a connection down that does not answer in time."""
    with socket.socket(fileno=dup(conn.pgconn.socket)) as double:
        timer = threading.Timer(ANSWER, double.shutdown, [socket.SHUT_RDWR])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def require_session(dsn: str) -> None:
    """See that connections to a DSN are sessions.

    Raises:
        SessionNeededError: BTN422, if each transaction may run in another backend.
    """

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn, autocommit=True, prepare_threshold=None)

    with connect() as conn:
        if not is_session(conn, connect):
            raise SessionNeededError(
                "a worker needs sessions, and the server of its connection string gives it another one for each "
                "transaction, as pgbouncer does in transaction mode"
            )
