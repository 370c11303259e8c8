"""Detect a pooler such as pgbouncer, and whether it provides sessions.

In transaction mode each transaction may run in another backend. Whatever belongs to a session is lost by the next
statement, or worse, stays with a stranger: locks, LISTEN, prepared statements.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import StrEnum
from os import dup
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from baton_dsl.errors import SessionNeededError

type Connecting = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

DIRECT: Final = "BATON_DIRECT_DSN"
"""The environment variable that names the server itself where the DSN names a pooler."""
ROUNDS: Final = 3
"""Times that it is tried: what else goes through a pooler may let a try look like a session."""
ANSWER: Final = 5.0
"""Seconds for an answer: in a pooler that has no server left for a statement, it waits for one."""

BACKEND: Final = "SELECT pg_backend_pid()"


def is_direct(conn: psycopg.Connection[Any]) -> bool:
    """True if nothing is between us and the backend: a pooler gives numbers of its own at the login."""
    return _backend(conn) == conn.info.backend_pid


def _backend(conn: psycopg.Connection[Any]) -> int:
    row = conn.cursor(row_factory=tuple_row).execute(BACKEND).fetchone()
    assert row is not None
    return int(row[0])


async def is_direct_async(conn: psycopg.AsyncConnection[Any]) -> bool:
    """As `is_direct`."""
    row = await (await conn.cursor(row_factory=tuple_row).execute(BACKEND)).fetchone()
    return row is not None and row[0] == conn.info.backend_pid


def is_session(conn: psycopg.Connection[Any], connect: Connecting) -> bool:
    """True if all statements of a connection run in the same backend, so that a lock that one takes is held.

    Behind a pooler that is tried, while a transaction of another connection keeps the server that is free then: in
    transaction mode that is likely the one of the statement before.

    Args:
        conn: The connection, in autocommit mode.
        connect: Opens another one, in the same way.
    """
    if is_direct(conn):
        return True
    return all(_keeps_its_backend(conn, connect) for _ in range(ROUNDS))


def _keeps_its_backend(conn: psycopg.Connection[Any], connect: Connecting) -> bool:
    try:
        with answering(conn):
            before = _backend(conn)
        with suppress(psycopg.OperationalError), connect() as other, answering(other), other.transaction():
            _backend(other)
            with answering(conn):
                return _backend(conn) == before
        with answering(conn):  # the other one has waited in vain for a server of its own
            return _backend(conn) == before
    except psycopg.OperationalError:  # no server was left for the second statement: the first one's was given away
        return False


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


class Route(StrEnum):
    """What is between a connection and the server."""

    DIRECT = "direct"
    SESSIONS = "a pooler that keeps sessions"
    TRANSACTIONS = "a pooler that gives each transaction another session"


def route_of(connect: Connecting) -> Route:
    """Find out what is between.

    Args:
        connect: Opens a connection in autocommit mode.
    """
    with connect() as conn:
        if is_direct(conn):
            return Route.DIRECT
        return Route.SESSIONS if is_session(conn, connect) else Route.TRANSACTIONS


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
