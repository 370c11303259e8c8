"""The applications that insert workflows, each on one kind of connection and with a transaction of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import django.db
import flask
import flask_sqlalchemy
import psycopg
import sqlmodel
from django.conf import settings
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from baton_dsl import Flow, Workflow
from tests.conftest import sqlalchemy_url


class Caller:
    """An application with a transaction of its own, on one kind of connection."""

    def __init__(self, conn: Any, run: Callable[[str], Any], *, is_async: bool) -> None:
        self.conn, self.run, self.is_async = conn, run, is_async

    async def insert(self, flow: Flow, **inputs: Any) -> Workflow:
        inserted = flow.insert(self.conn, **inputs)
        return await inserted if self.is_async else inserted

    async def insert_many(self, flow: Flow, workflows: list[Any]) -> list[Workflow]:
        inserted = flow.insert_many(self.conn, workflows)
        return await inserted if self.is_async else inserted

    async def execute(self, statement: str) -> None:
        result = self.run(statement)
        if self.is_async:
            await result


@contextmanager
def closing_sync(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@asynccontextmanager
async def closing_async(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def psycopg_sync(dsn: str) -> AsyncIterator[Caller]:
    with psycopg.connect(dsn) as conn:
        yield Caller(conn, conn.execute, is_async=False)


@asynccontextmanager
async def psycopg_async(dsn: str) -> AsyncIterator[Caller]:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        yield Caller(conn, conn.execute, is_async=True)


@asynccontextmanager
async def sqlalchemy_connection(dsn: str) -> AsyncIterator[Caller]:
    with closing_sync(create_engine(sqlalchemy_url(dsn))) as engine, engine.begin() as conn:
        yield Caller(conn, lambda statement: conn.execute(text(statement)), is_async=False)


@asynccontextmanager
async def sqlalchemy_session(dsn: str) -> AsyncIterator[Caller]:
    with closing_sync(create_engine(sqlalchemy_url(dsn))) as engine, Session(engine) as session, session.begin():
        yield Caller(session, lambda statement: session.execute(text(statement)), is_async=False)


@asynccontextmanager
async def sqlalchemy_async_connection(dsn: str) -> AsyncIterator[Caller]:
    async with closing_async(create_async_engine(sqlalchemy_url(dsn))) as engine, engine.begin() as conn:
        yield Caller(conn, lambda statement: conn.execute(text(statement)), is_async=True)


@asynccontextmanager
async def sqlalchemy_async_session(dsn: str) -> AsyncIterator[Caller]:
    async with (
        closing_async(create_async_engine(sqlalchemy_url(dsn))) as engine,
        AsyncSession(engine) as session,
        session.begin(),
    ):
        yield Caller(session, lambda statement: session.execute(text(statement)), is_async=True)


@asynccontextmanager
async def psycopg_with_cursors_of_another_kind(dsn: str) -> AsyncIterator[Caller]:
    with psycopg.connect(dsn, cursor_factory=psycopg.RawCursor, row_factory=psycopg.rows.dict_row) as conn:
        yield Caller(conn, lambda statement: psycopg.Cursor(conn).execute(statement), is_async=False)


@asynccontextmanager
async def sqlalchemy_scoped_session(dsn: str) -> AsyncIterator[Caller]:
    with closing_sync(create_engine(sqlalchemy_url(dsn))) as engine:
        scoped = scoped_session(sessionmaker(engine))
        with scoped.begin():
            yield Caller(scoped, lambda statement: scoped.execute(text(statement)), is_async=False)
        scoped.remove()


@asynccontextmanager
async def sqlalchemy_async_scoped_session(dsn: str) -> AsyncIterator[Caller]:
    async with closing_async(create_async_engine(sqlalchemy_url(dsn))) as engine:
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        async with scoped.begin():
            yield Caller(scoped, lambda statement: scoped.execute(text(statement)), is_async=True)
        await scoped.remove()


@asynccontextmanager
async def sqlalchemy_raw_connection(dsn: str) -> AsyncIterator[Caller]:
    with closing_sync(create_engine(sqlalchemy_url(dsn))) as engine:
        raw = engine.raw_connection()
        try:
            yield Caller(raw, lambda statement: raw.cursor().execute(statement), is_async=False)
            raw.commit()
        finally:
            raw.close()


class RunSync(Caller):
    """What is under an async connection or session of SQLAlchemy, in a function that its `run_sync` calls."""

    def __init__(self, conn: Any) -> None:
        super().__init__(conn, lambda statement: conn.execute(text(statement)), is_async=True)

    async def insert(self, flow: Flow, **inputs: Any) -> Workflow:
        workflow: Workflow = await self.conn.run_sync(lambda sync: flow.insert(sync, **inputs))
        return workflow

    async def insert_many(self, flow: Flow, workflows: list[Any]) -> list[Workflow]:
        inserted: list[Workflow] = await self.conn.run_sync(lambda sync: flow.insert_many(sync, workflows))
        return inserted


@asynccontextmanager
async def sqlalchemy_run_sync_of_a_connection(dsn: str) -> AsyncIterator[Caller]:
    async with closing_async(create_async_engine(sqlalchemy_url(dsn))) as engine, engine.begin() as conn:
        yield RunSync(conn)


@asynccontextmanager
async def sqlalchemy_run_sync_of_a_session(dsn: str) -> AsyncIterator[Caller]:
    async with (
        closing_async(create_async_engine(sqlalchemy_url(dsn))) as engine,
        AsyncSession(engine) as session,
        session.begin(),
    ):
        yield RunSync(session)


@asynccontextmanager
async def sqlmodel_session(dsn: str) -> AsyncIterator[Caller]:
    with (
        closing_sync(create_engine(sqlalchemy_url(dsn))) as engine,
        sqlmodel.Session(engine) as session,
        session.begin(),
    ):
        yield Caller(session, lambda statement: session.connection().execute(text(statement)), is_async=False)


@asynccontextmanager
async def flask_sqlalchemy_session(dsn: str) -> AsyncIterator[Caller]:
    app, db = flask.Flask("shop"), flask_sqlalchemy.SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(dsn)
    db.init_app(app)
    with app.app_context(), closing_sync(db.engine):
        try:
            yield Caller(db.session, lambda statement: db.session.execute(text(statement)), is_async=False)
            db.session.commit()
        finally:
            db.session.remove()


class Django(Caller):
    """A view of Django, in a thread as any sync code beside an event loop."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        super().__init__(django.db.connection, lambda _: None, is_async=False)
        self.thread = thread

    async def insert(self, flow: Flow, **inputs: Any) -> Workflow:
        return await self.in_thread(lambda: flow.insert(self.conn, **inputs))

    async def insert_many(self, flow: Flow, workflows: list[Any]) -> list[Workflow]:
        return await self.in_thread(lambda: flow.insert_many(self.conn, workflows))

    async def execute(self, statement: str) -> None:
        await self.in_thread(lambda: self.conn.cursor().execute(statement))

    async def in_thread[T](self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function)


@asynccontextmanager
async def django_connection(dsn: str) -> AsyncIterator[Caller]:
    parts = conninfo_to_dict(dsn)
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}}, USE_TZ=True)
        django.setup()
    place = {"NAME": parts["dbname"], "USER": parts["user"], "HOST": parts["host"], "PORT": str(parts.get("port", ""))}
    django.db.connections.settings["default"].update(place)
    with ThreadPoolExecutor(1) as thread:  # each thread has connections of its own
        caller = Django(thread)
        atomic = transaction.atomic()
        await caller.in_thread(atomic.__enter__)
        try:
            yield caller
        except BaseException as error:
            await caller.in_thread(partial(atomic.__exit__, type(error), error, None))
            raise
        else:
            await caller.in_thread(partial(atomic.__exit__, None, None, None))
        finally:
            await caller.in_thread(lambda: django.db.connection.close())  # in the thread it is another one


KINDS = [
    psycopg_sync,
    psycopg_with_cursors_of_another_kind,
    sqlalchemy_scoped_session,
    sqlalchemy_async_scoped_session,
    sqlalchemy_raw_connection,
    sqlalchemy_run_sync_of_a_connection,
    sqlalchemy_run_sync_of_a_session,
    sqlmodel_session,
    flask_sqlalchemy_session,
    django_connection,
    psycopg_async,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
]
