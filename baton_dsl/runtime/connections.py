"""Which psycopg connection is under what the caller gave, be it psycopg's own or SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from baton_dsl.errors import ConnectionTypeError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

type SyncConnectionLike = psycopg.Connection[Any] | Connection | Session
"""What `insert` takes in a sync application."""

type AsyncConnectionLike = psycopg.AsyncConnection[Any] | AsyncConnection | AsyncSession
"""What `insert` takes in an async application."""


@dataclass(frozen=True, slots=True)
class Found:
    """A psycopg connection, or how to get at it.

    Attributes:
        sync: The connection, for a sync caller.
        pending: What to await for the connection, for an async caller.
    """

    sync: psycopg.Connection[Any] | None = None
    pending: Awaitable[psycopg.AsyncConnection[Any]] | None = None


def find(conn: object) -> Found:
    """The psycopg connection under a connection or session.

    SQLAlchemy is recognised by its shape, so that it is not imported for callers that don't use it. A session that
    has no transaction yet begins one, as any statement would make it.

    Raises:
        ConnectionTypeError: If there is no psycopg connection under it.
    """
    if isinstance(conn, psycopg.Connection):
        return Found(sync=conn)
    if isinstance(conn, psycopg.AsyncConnection):
        return Found(pending=_itself(conn))
    if any(base.__module__.startswith("sqlalchemy.") for base in type(conn).__mro__):
        if hasattr(conn, "sync_session") or hasattr(conn, "sync_connection"):
            return Found(pending=_under_async(conn))
        return Found(sync=_under_sync(conn))
    raise ConnectionTypeError(f"insert() can't use {_name(conn)}")


def _name(conn: object) -> str:
    cls = type(conn)
    return f"{cls.__module__}.{cls.__qualname__}"


async def _itself(conn: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
    return conn


def _under_sync(conn: Any) -> psycopg.Connection[Any]:
    if hasattr(conn, "get_bind"):  # a Session; scoped_session proxies the method too
        conn = conn.connection()
    driver = getattr(getattr(conn, "connection", None), "driver_connection", None)
    if not isinstance(driver, psycopg.Connection):
        raise _wrong_driver(conn, driver)
    return driver


async def _under_async(conn: Any) -> psycopg.AsyncConnection[Any]:
    if hasattr(conn, "sync_session"):
        conn = await conn.connection()
    driver = (await conn.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise _wrong_driver(conn, driver)
    return driver


def _wrong_driver(conn: object, driver: object) -> ConnectionTypeError:
    return ConnectionTypeError(f"insert() can't use {_name(conn)} on the driver connection {_name(driver)}")
