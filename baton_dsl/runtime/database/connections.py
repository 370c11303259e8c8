"""Find the psycopg connection inside what the caller passed: psycopg's, SQLAlchemy's or Django's."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from baton_dsl.errors import ConnectionTypeError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session


class DjangoConnection(Protocol):
    """`django.db.connection`, or one of `django.db.connections`."""

    connection: Any

    def ensure_connection(self) -> None:
        """Connect, unless it is connected."""


type SyncSessionLike = Connection | Session | scoped_session[Any] | DjangoConnection
"""The objects that `insert` accepts in a sync application, besides psycopg's connection."""

type AsyncSessionLike = AsyncConnection | AsyncSession | async_scoped_session[Any]
"""The objects that `insert` accepts in an async application, besides psycopg's connection."""


@dataclass(frozen=True, slots=True)
class Found:
    """A psycopg connection, or a way to get it.

    Attributes:
        sync: The connection, for a sync caller.
        pending: An awaitable that returns the connection, for an async caller.
        facaded: The async connection of a sync caller that SQLAlchemy's `run_sync` has called.
    """

    sync: psycopg.Connection[Any] | None = None
    pending: Awaitable[psycopg.AsyncConnection[Any]] | None = None
    facaded: psycopg.AsyncConnection[Any] | None = None


def find(conn: object) -> Found:
    """The psycopg connection under a connection or session.

    SQLAlchemy and Django are recognized by their attributes, so that they are not imported for callers that don't use
    them. A session without a transaction begins one, as it would for any statement.

    Raises:
        ConnectionTypeError: If there is no psycopg connection under it.
    """
    if isinstance(conn, psycopg.Connection):
        return Found(sync=conn)
    if isinstance(conn, psycopg.AsyncConnection):
        return Found(pending=_itself(conn))
    if remedy := _remedy(conn):
        raise ConnectionTypeError(f"insert() can't use {_name(conn)}", remedy=remedy)
    if _is_of(conn, "sqlalchemy"):
        return _find_sqlalchemy(conn)
    if _is_of(conn, "django") and hasattr(conn, "ensure_connection"):
        return Found(sync=_under_django(conn))
    raise ConnectionTypeError(f"insert() can't use {_name(conn)}")


def await_here[T](awaitable: Awaitable[T], conn: object) -> T:
    """Await something in sync code that SQLAlchemy's `run_sync` has called.

    Args:
        awaitable: The awaitable.
        conn: The object that the caller passed, for the message.

    Raises:
        ConnectionTypeError: If `run_sync` has not called it.
    """
    try:
        awaited: T = import_module("sqlalchemy.util").await_only(awaitable)
    except Exception as error:
        if _is_outside(error):
            raise _outside_of_run_sync(conn) from error
        raise
    return awaited


def _is_outside(error: Exception) -> bool:
    return type(error).__name__ == "MissingGreenlet"


def _is_of(conn: object, package: str) -> bool:
    return any(base.__module__.partition(".")[0] == package for base in type(conn).__mro__)


_REMEDIES: Final = {
    "Engine": "give a connection of it: with engine.begin() as conn: ...",
    "AsyncEngine": "give a connection of it: async with engine.begin() as conn: ...",
    "sessionmaker": "give a session that it makes: with sessions.begin() as session: ...",
    "async_sessionmaker": "give a session that it makes: async with sessions.begin() as session: ...",
    "ConnectionPool": "give a connection of it: with pool.connection() as conn: ...",
    "AsyncConnectionPool": "give a connection of it: async with pool.connection() as conn: ...",
    "NullConnectionPool": "give a connection of it: with pool.connection() as conn: ...",
    "AsyncNullConnectionPool": "give a connection of it: async with pool.connection() as conn: ...",
    "CursorWrapper": "give the connection itself: django.db.connection",
    "ConnectionHandler": 'give one of them: connections["default"]',
    "SQLAlchemy": "give its session: db.session",
}
"""Advice for classes that create connections, by their names."""


def _remedy(conn: object) -> str | None:
    """What to pass instead of an object that only leads to a connection."""
    if isinstance(conn, str):
        return "connect first: with psycopg.connect(dsn) as conn: ..."
    if iscoroutine(conn):
        return "await it first"
    if isinstance(conn, psycopg.Cursor | psycopg.AsyncCursor | psycopg.ServerCursor | psycopg.AsyncServerCursor):
        return "give the connection of the cursor: cursor.connection"
    return next((_REMEDIES[base.__name__] for base in type(conn).__mro__ if base.__name__ in _REMEDIES), None)


def _name(conn: object) -> str:
    cls = type(conn)
    return f"{cls.__module__}.{cls.__qualname__}"


async def _itself(conn: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
    return conn


def _find_sqlalchemy(conn: Any) -> Found:
    if hasattr(conn, "session_factory") and callable(getattr(conn, "registry", None)):
        conn = conn.registry()  # a scoped_session or async_scoped_session: the session of this scope
    if hasattr(conn, "sync_session") or hasattr(conn, "sync_connection"):
        return Found(pending=_under_async(conn))
    given = conn
    try:
        if hasattr(conn, "get_bind"):  # a Session
            conn = conn.connection()
        driver = _driver(conn)
    except Exception as error:
        if _is_outside(error):
            raise _outside_of_run_sync(given) from error
        raise
    if isinstance(driver, psycopg.AsyncConnection):
        return Found(facaded=driver)
    if not isinstance(driver, psycopg.Connection):
        raise _wrong_driver(conn, driver)
    return Found(sync=driver)


def _driver(conn: Any) -> object:
    """The driver's connection under a Connection, or under the result of `Engine.raw_connection`."""
    pooled = conn if hasattr(conn, "driver_connection") else getattr(conn, "connection", None)
    return getattr(pooled, "driver_connection", None)


async def _under_async(conn: Any) -> psycopg.AsyncConnection[Any]:
    if hasattr(conn, "sync_session"):
        conn = await conn.connection()
    driver = (await conn.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise _wrong_driver(conn, driver)
    return driver


def _under_django(conn: Any) -> psycopg.Connection[Any]:
    """The connection of a Django alias, checked as for a cursor: it belongs to this thread and is usable."""
    conn.validate_thread_sharing()
    conn.ensure_connection()
    conn.validate_no_broken_transaction()
    driver = conn.connection
    if not isinstance(driver, psycopg.Connection):
        raise _wrong_driver(conn, driver)
    return driver


def _wrong_driver(conn: object, driver: object) -> ConnectionTypeError:
    return ConnectionTypeError(f"insert() can't use {_name(conn)} on the driver connection {_name(driver)}")


def _outside_of_run_sync(conn: object) -> ConnectionTypeError:
    return ConnectionTypeError(
        f"insert() can't use {_name(conn)} of an async engine here",
        remedy="give the AsyncSession or AsyncConnection itself, or call insert() within its run_sync()",
    )
