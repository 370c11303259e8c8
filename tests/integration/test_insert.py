"""Insert: all rows or none, on every kind of connection, in the caller's transaction; and every refusal."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import django.db
import flask_sqlalchemy
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from baton_dsl import Flow, FlowError, Workflow
from baton_dsl.errors import (
    BatonError,
    ConnectionTypeError,
    EmptyFlowError,
    InputError,
    ObanNotFoundError,
    PrefixError,
    SchemaMissingError,
    SchemaVersionError,
    WorkflowExistsError,
)
from tests.conftest import StartOban, sqlalchemy_url
from tests.integration.callers import KINDS
from tests.integration.modules import steps

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)

TABLES = ("customers", "oban_jobs", "workflow_nodes", "baton_workflows")


@pytest.fixture
def counted(conn: psycopg.Connection[Any]) -> Callable[[], tuple[int, ...]]:
    """The numbers of rows in the application's table and in ours."""
    conn.execute("CREATE TABLE customers (name text)")

    def count() -> tuple[int, ...]:
        return tuple(conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES)  # type: ignore[index]

    return count


class BoomError(Exception):
    pass


@each_kind
async def test_every_row_is_there_once_the_caller_commits_and_not_before(
    kind: Any, dsn: str, counted: Callable[[], tuple[int, ...]]
) -> None:
    async with kind(dsn) as caller:
        await caller.execute("INSERT INTO customers VALUES ('ada')")
        workflow = await caller.insert(steps.billing, api_key="k")
        assert counted() == (0, 0, 0, 0)
    assert counted() == (1, 4, 4, 1)
    assert workflow.sync.status().counts == {"available": 1, "suspended": 3}


@each_kind
async def test_nothing_is_there_when_the_caller_rolls_back_after_the_insert(
    kind: Any, dsn: str, counted: Callable[[], tuple[int, ...]]
) -> None:
    with pytest.raises(BoomError):
        async with kind(dsn) as caller:
            await caller.execute("INSERT INTO customers VALUES ('ada')")
            await caller.insert(steps.billing, api_key="k")
            raise BoomError
    assert counted() == (0, 0, 0, 0)


@each_kind
async def test_an_error_in_the_middle_of_the_insert_leaves_nothing(
    kind: Any, dsn: str, conn: psycopg.Connection[Any], counted: Callable[[], tuple[int, ...]]
) -> None:
    conn.execute("ALTER TABLE workflow_nodes ADD CONSTRAINT no_report CHECK (step_name <> 'report')")
    with pytest.raises((psycopg.errors.CheckViolation, ProgrammingError)):
        async with kind(dsn) as caller:
            await caller.execute("INSERT INTO customers VALUES ('ada')")
            await caller.insert(steps.billing, api_key="k")
    assert counted() == (0, 0, 0, 0)


@each_kind
async def test_a_refused_insert_leaves_the_callers_transaction_as_it_was(
    kind: Any, dsn: str, counted: Callable[[], tuple[int, ...]]
) -> None:
    taken = steps.billing.options(workflow_id="taken")
    async with kind(dsn) as caller:
        await caller.execute("INSERT INTO customers VALUES ('ada')")
        await caller.insert(taken, api_key="k")
        with pytest.raises(WorkflowExistsError, match='a workflow "taken" is in the database already'):
            await caller.insert(taken, api_key="k")
        with pytest.raises(InputError):
            await caller.insert(taken)
        await caller.execute("INSERT INTO customers VALUES ('grace')")
    assert counted() == (2, 4, 4, 1)


@each_kind
async def test_a_missing_schema_says_what_to_run(kind: Any, empty_dsn: str) -> None:
    with pytest.raises(SchemaMissingError, match="baton install"):
        async with kind(empty_dsn) as caller:
            await caller.insert(steps.billing, api_key="k")


async def test_an_older_schema_says_so(dsn: str, conn: psycopg.Connection[Any]) -> None:
    conn.execute("DELETE FROM baton_migrations; INSERT INTO baton_migrations VALUES (0)")
    with pytest.raises(SchemaVersionError, match=r"is of version 0, the library needs \d+.*baton install"):
        steps.billing.insert(conn, api_key="k")


async def test_a_newer_schema_serves_the_library(dsn: str, conn: psycopg.Connection[Any]) -> None:
    conn.execute("INSERT INTO baton_migrations VALUES (99)")
    steps.billing.insert(conn, api_key="k")


async def test_an_insert_takes_one_statement(
    dsn: str, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    execute = psycopg.Cursor.execute

    def spy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(query)
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", spy)
    flow = Flow("large")
    for index in range(1000):
        flow.add(f"step_{index}", steps.noop, deps=[f"step_{index - 1}"] if index else [])
    flow.insert(conn)
    assert len(sent) == 1


async def test_without_a_connection_the_oban_instance_inserts(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(name="other", queues={}):
        workflow = await steps.billing.options(oban="other").insert(api_key="k")
        with pytest.raises(ObanNotFoundError, match='no Oban instance "Oban" in this process'):
            await steps.billing.insert(api_key="k")
        assert (await workflow.status()).name == "billing"
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (4,)


async def test_the_prefix_is_that_of_the_oban_instance(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    from baton_dsl.runtime import schema

    schema.install(dsn, "private")
    async with start_oban(prefix="private", queues={"default": 5, "auth": 1}):
        workflow = await steps.billing.insert(api_key="k")
        assert (await workflow.wait(60)).outcome == "completed"
        assert await Workflow.load(workflow.id, dsn=dsn, prefix="private").result("regions") == ["eu", "us"]
    assert conn.execute("SELECT count(*) FROM public.oban_jobs").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM private.oban_jobs").fetchone() == (4,)


@pytest.mark.parametrize("prefix", ["My Schema", 'x"; DROP TABLE oban_jobs; --', "select", "Ünï", "", "x" * 64])
async def test_a_prefix_that_would_need_quotes_is_refused(conn: psycopg.Connection[Any], prefix: str) -> None:
    with pytest.raises((PrefixError, FlowError)):
        steps.billing.options(prefix=prefix or " ").insert(conn, api_key="k")
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


@pytest.mark.parametrize("thing", [object(), 7, b"postgresql://localhost"])
def test_something_else_than_a_connection_is_refused(thing: object) -> None:
    with pytest.raises(ConnectionTypeError, match=r"can't use builtins\..*psycopg Connection or AsyncConnection"):
        steps.billing.insert(thing, api_key="k")  # type: ignore[call-overload]


def test_what_only_leads_to_a_connection_is_refused_with_the_way(conn: psycopg.Connection[Any], dsn: str) -> None:
    engine, async_engine = create_engine(sqlalchemy_url(dsn)), create_async_engine(sqlalchemy_url(dsn))
    server_side, not_awaited = conn.cursor(name="server_side"), psycopg.AsyncConnection.connect(dsn)
    meant: list[tuple[object, str]] = [
        (dsn, "connect first"),
        (conn.cursor(), "give the connection of the cursor: cursor.connection"),
        (server_side, "give the connection of the cursor: cursor.connection"),
        (engine, "with engine.begin() as conn: ..."),
        (async_engine, "async with engine.begin() as conn: ..."),
        (sessionmaker(engine), "with sessions.begin() as session: ..."),
        (async_sessionmaker(async_engine), "async with sessions.begin() as session: ..."),
        (ConnectionPool(dsn, open=False), "with pool.connection() as conn: ..."),
        (AsyncConnectionPool(dsn, open=False), "async with pool.connection() as conn: ..."),
        (not_awaited, "await it first"),
        (django.db.connections, 'give one of them: connections["default"]'),
        (flask_sqlalchemy.SQLAlchemy(), "give its session: db.session"),
    ]
    for thing, remedy in meant:
        with pytest.raises(ConnectionTypeError, match=re.escape(remedy)):
            steps.billing.insert(thing, api_key="k")  # type: ignore[call-overload]
    server_side.close()

    async def awaited() -> None:
        await (await not_awaited).close()

    asyncio.run(awaited())


async def test_the_sync_side_of_an_async_engine_is_refused_outside_of_run_sync(dsn: str) -> None:
    engine = create_async_engine(sqlalchemy_url(dsn))
    async with engine.begin() as conn, AsyncSession(engine) as session:
        await session.connection()
        for thing in (conn.sync_connection, session.sync_session):
            with pytest.raises(ConnectionTypeError, match=r"call insert\(\) within its run_sync"):
                steps.billing.insert(thing, api_key="k")  # type: ignore[call-overload]
    await engine.dispose()


async def test_sqlalchemy_on_another_driver_is_refused() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as conn, pytest.raises(ConnectionTypeError, match=r"driver connection sqlite3\.Connection"):
        steps.billing.insert(conn, api_key="k")
    engine.dispose()


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ({}, ['input "api_key" is missing; step "fetch_token" needs it']),
        ({"api_kye": "x"}, ['has no input called "api_kye"; did you mean "api_key"?', '"api_key" is missing']),
        ({"api_key": 7}, ['input "api_key" must be str, got int']),
        ({"api_key": "x", "retries": "three"}, ['input "retries" must be int, got str']),
        ({"api_key": "a\x00b"}, ["a NUL character can't be stored"]),
    ],
)
def test_wrong_inputs_are_refused_before_the_first_row(
    conn: psycopg.Connection[Any], inputs: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        steps.billing.insert(conn, **inputs)
    assert caught.value.code == "BTN303"
    for message in messages:
        assert message in str(caught.value)
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


def test_a_wrong_flow_is_refused_with_everything_that_is_wrong(conn: psycopg.Connection[Any]) -> None:
    flow = Flow("wrong").add("a", steps.noop, deps=["b"]).add("b", steps.noop, deps=["a"])
    flow.add("c", steps.noop, deps=["d"]).add("e", steps.noop, deps=["e"])
    with pytest.raises(FlowError) as caught:
        flow.insert(conn)
    assert {finding.code for finding in caught.value.diagnostics} == {"BTN101", "BTN102", "BTN105"}
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


def test_a_flow_without_steps_is_refused(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(EmptyFlowError, match='flow "empty" has no steps'):
        Flow("empty").insert(conn)


@pytest.mark.parametrize("name", ["x" * 500, "a\x00b", "line\nbreak", " padded", ""])
def test_a_name_that_can_not_be_one_is_refused_at_once(name: str) -> None:
    with pytest.raises(FlowError, match="BTN305"):
        Flow("names").add(name, steps.noop)


def test_odd_names_are_stored_as_they_are(conn: psycopg.Connection[Any]) -> None:
    names = ['quote"s', "back\\slash", "{brace}", "fasterq-dump_01", "имя", "💥", "%s", "a,b", "NULL"]
    flow = Flow("odd")
    for index, name in enumerate(names):
        flow.add(name, steps.noop, deps=names[:index])
    workflow = flow.insert(conn)
    nodes = workflow.sync.nodes()
    assert [node.step for node in nodes] == names
    assert set(nodes[-1].deps) == set(names[:-1])


def test_a_workflow_id_of_ones_own_is_kept_and_a_made_one_grows_with_time(conn: psycopg.Connection[Any]) -> None:
    assert steps.billing.options(workflow_id="invoice/2026-11").insert(conn, api_key="k").id == "invoice/2026-11"
    made = [steps.billing.insert(conn, api_key="k").id for _ in range(3)]
    assert [uuid.UUID(each).version for each in made] == [7, 7, 7]
    assert [each[:8] for each in made] == sorted(each[:8] for each in made)


def test_the_queues_of_what_may_run_are_notified(conn: psycopg.Connection[Any], dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute('LISTEN "public.oban_insert"')
        steps.billing.insert(conn, api_key="k")
        told = [note.payload for note in listener.notifies(timeout=60, stop_after=1)]
    assert told == ['{"queue" : "auth"}']


async def test_a_lost_connection_while_inserting_is_the_callers_error(pool: AsyncConnectionPool[Any], dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as mine:
        with psycopg.connect(dsn, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s)", [mine.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            await steps.billing.insert(mine, api_key="k")
    async with pool.connection() as conn:
        assert await (await conn.execute("SELECT count(*) FROM oban_jobs")).fetchone() == (0,)


def test_every_refusal_has_a_code_of_its_own() -> None:
    classes = list(_subclasses(BatonError))
    codes = [cls.code for cls in classes if "code" in vars(cls)]
    assert len(set(codes)) == len(codes)


def _subclasses(cls: type) -> Any:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)
