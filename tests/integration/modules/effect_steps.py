"""Steps that take a connection or a session by type. A module of its own, since workers import steps by name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, ForeignKey, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from baton_dsl import Each, Input, Skip, StepContext, step

TABLES = """
CREATE TABLE accounts (id int PRIMARY KEY);
CREATE TABLE bookings (
    id serial PRIMARY KEY, step text NOT NULL, attempt int NOT NULL,
    account int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED
);
"""

DURING: dict[str, Callable[[Any], Any]] = {}
"""What a step does by the way, by its name in the flow; given by the tests."""
RAN: list[str] = []


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)


class Booking(Base):
    __tablename__ = "bookings"
    id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[str]
    attempt: Mapped[int]
    account: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))


class ShopSession(Session):
    """An application's own session."""


BOOK = "INSERT INTO bookings (step, attempt) VALUES (%s, %s) RETURNING id"
BOOK_NAMED = text("INSERT INTO bookings (step, attempt) VALUES (:step, :attempt) RETURNING id")


def during(context: StepContext, connection: Any) -> Any:
    RAN.append(context.step)
    return DURING[context.step](connection) if context.step in DURING else None


async def during_async(context: StepContext, connection: Any) -> Any:
    RAN.append(context.step)
    return await DURING[context.step](connection) if context.step in DURING else None


@step(max_attempts=2, backoff=0)
def by_psycopg(conn: psycopg.Connection[Any], context: StepContext) -> int:
    assert threading.current_thread() is not threading.main_thread()
    row = conn.execute(BOOK, (context.step, context.attempt)).fetchone()
    return during(context, conn) or row[0]


@step(max_attempts=2, backoff=0)
async def by_async_psycopg(conn: psycopg.AsyncConnection[dict[str, Any]], context: StepContext) -> int:
    cursor = await conn.execute(BOOK, (context.step, context.attempt))
    row = await cursor.fetchone()
    return await during_async(context, conn) or row["id"]


@step(max_attempts=2, backoff=0)
def by_connection(conn: Connection, context: StepContext) -> int:
    booked = conn.execute(BOOK_NAMED, {"step": context.step, "attempt": context.attempt}).scalar_one()
    return during(context, conn) or booked


@step(max_attempts=2, backoff=0)
async def by_async_connection(conn: AsyncConnection, context: StepContext) -> int:
    booked = (await conn.execute(BOOK_NAMED, {"step": context.step, "attempt": context.attempt})).scalar_one()
    return await during_async(context, conn) or booked


@step(max_attempts=2, backoff=0)
def by_session(session: ShopSession, context: StepContext) -> int:
    assert type(session) is ShopSession
    booking = Booking(step=context.step, attempt=context.attempt)
    session.add(booking)
    session.flush()
    return during(context, session) or booking.id


@step(max_attempts=2, backoff=0)
async def by_async_session(session: AsyncSession, context: StepContext) -> int:
    booking = Booking(step=context.step, attempt=context.attempt)
    session.add(booking)
    await session.flush()
    return await during_async(context, session) or booking.id


SYNC = (by_psycopg, by_connection, by_session)
ASYNC = (by_async_psycopg, by_async_connection, by_async_session)
EVERY = (*SYNC, *ASYNC)


@step(max_attempts=2, backoff=0, timeout=1.0)
def slow_by_session(session: Session, context: StepContext) -> int:
    session.add(Booking(step=context.step, attempt=context.attempt))
    session.flush()
    return during(context, session) or 1


@step(max_attempts=2, backoff=0, timeout=1.0)
async def slow_by_async_session(session: AsyncSession, context: StepContext) -> int:
    session.add(Booking(step=context.step, attempt=context.attempt))
    await session.flush()
    return await during_async(context, session) or 1


@step
def unflushed(session: Session, account: Input[int]) -> None:
    """Leaves its writes uncommitted for the caller."""
    session.add(Booking(step="unflushed", attempt=1, account=account))


@step
def total(context: StepContext) -> int:
    return len(context.upstream)


@step
def accounts() -> list[int]:
    return [1, 2, 3, 4]


@step
async def open_account(accounts: Each[int], session: AsyncSession) -> int | Skip:
    """Opens each of the accounts, and skips every second one."""
    session.add(Account(id=accounts))
    return accounts if accounts % 2 else Skip("even")


@step
def opened(open_account: list[int]) -> list[int]:
    return open_account
