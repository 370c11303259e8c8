"""Detect a pooler such as pgbouncer, and whether it provides sessions.

In transaction mode, each transaction may run in another backend. Then session state (locks, LISTEN, prepared
statements) is lost after a statement or, worse, stays with another client.
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
"""The environment variable for the address of the server itself, if the DSN is that of a pooler."""
ROUNDS: Final = 3
"""How often the test is repeated: other traffic through a pooler may make one test look like a session."""
ANSWER: Final = 5.0
"""Seconds to wait for an answer: a pooler without a free server connection lets a statement wait."""

BACKEND: Final = "SELECT pg_backend_pid()"


def is_direct(conn: psycopg.Connection[Any]) -> bool:
    """True if there is no pooler: a pooler sends its own backend id at login."""
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
    """True if all statements of a connection run in the same backend, so that locks are kept between statements.

    Behind a pooler, this is tested: between two statements, another connection opens a transaction. In transaction
        mode,
    it probably gets the backend of the first statement.

    Args:
        conn: The connection, in autocommit mode.
        connect: Opens another connection in the same way.
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
        with answering(conn):  # the other connection got no backend
            return _backend(conn) == before
    except psycopg.OperationalError:  # no backend was left for the second statement: the first one's was given away
        return False


@contextmanager
def answering(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Close a connection that does not answer in time."""
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
    """Find out what is between a connection and the server.

    Args:
        connect: Opens a connection in autocommit mode.
    """
    with connect() as conn:
        if is_direct(conn):
            return Route.DIRECT
        return Route.SESSIONS if is_session(conn, connect) else Route.TRANSACTIONS


def require_session(dsn: str) -> None:
    """Check that connections to a DSN are sessions.

    Raises:
        SessionNeededError: BTN422, if each transaction may run in another backend.
    """

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn, autocommit=True, prepare_threshold=None)

    with connect() as conn:
        if not is_session(conn, connect):
            raise SessionNeededError(
                "a worker needs sessions, but its connection string leads to a pooler that gives each transaction "
                "another session, as pgbouncer does in transaction mode"
            )
