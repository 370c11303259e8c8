"""One PostgreSQL for the whole run, a fresh database for each test, and Oban instances that stop afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from oban import Oban
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import URL

from baton_dsl.runtime import schema
from baton_dsl.runtime.embedded import serve
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.stopping import CANCELLATIONS
from tests.databases import Databases, create, drop

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
TEMPLATE = f"baton_template_{RUN[:12]}"

SETTINGS = {
    **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off"),
    "deadlock_timeout": "50ms",  # two that wait for each other are found sooner
}

type StartOban = Callable[..., AbstractAsyncContextManager[Oban]]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The embedded PostgreSQL, shared by all processes of the run; durable storage is not what is tested here.

    `BATON_TEST_DSN` names another server to test on, of which the user must be a superuser.

    Not below pytest's own folder: every other pytest that starts on the machine closes that to other users, and the
    server, when root runs the tests, is one.
    """
    folder = Path(tempfile.gettempdir()) / f"baton-tests-{RUN}"
    given = os.environ.get("BATON_TEST_DSN")
    with nullcontext(given) if given else serve(folder / "postgres") as dsn:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("SELECT pg_advisory_lock(1)")
            if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
                if not given:  # the settings of somebody's server are his
                    for setting, value in SETTINGS.items():
                        conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
                    conn.execute("SELECT pg_reload_conf()")
                conn.execute(f"CREATE DATABASE {TEMPLATE}_new")
                schema.install(make_conninfo(dsn, dbname=f"{TEMPLATE}_new"))
                conn.execute(f"ALTER DATABASE {TEMPLATE}_new RENAME TO {TEMPLATE}")
        yield dsn
    if not (folder / "postgres" / "postmaster.pid").exists():  # the last process has stopped the server
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def served_folder() -> Iterator[Path]:
    """A folder in which an embedded PostgreSQL of the test's own may lie; see `server` for why it is not `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="baton-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def empty_dsn(server: str) -> Iterator[str]:
    """A fresh database with nothing in it."""
    yield from fresh_database(server, "template1")


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Databases]:
    """Databases with Oban's tables and ours."""
    made = Databases(server, TEMPLATE)
    yield made
    made.close()


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    """A database with Oban's tables and ours, and no rows, for this test alone."""
    with databases.lent() as lent:
        yield lent


def fresh_database(server: str, template: str) -> Iterator[str]:
    """Make a database from a template, and drop it afterwards."""
    with psycopg.connect(server, autocommit=True) as conn:
        name = create(conn, template)
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as conn:
        drop(conn, name)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    """A pool on the fresh database."""
    async with AsyncConnectionPool(dsn, min_size=1, max_size=10, open=False) as opened:
        yield opened


@pytest.fixture
async def start_oban(pool: AsyncConnectionPool[Any]) -> StartOban:
    """Starts an Oban instance on the fresh database: `async with start_oban(queues={"default": 10}):`."""
    CANCELLATIONS._job_ids.clear()  # jobs of other databases, which have the same numbers

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[Oban]:
        defaults = {
            "queues": {"default": 10},
            "stager": {"interval": 0.1},
        }  # a second for each retry is long for a test
        instance = Oban(pool=options.pop("pool", pool), **{**defaults, **options})
        try:
            async with instance:
                yield instance
        finally:
            bridge.forget(instance)

    return start


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the fresh database on which every statement is a transaction."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


def sqlalchemy_url(dsn: str) -> URL:
    """The same database for SQLAlchemy."""
    parts = conninfo_to_dict(dsn)
    return URL.create(
        "postgresql+psycopg",
        username=parts["user"],
        password=parts.get("password"),
        database=parts["dbname"],
        query={"host": parts["host"], "port": str(parts.get("port", 5432))},
    )


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 60.0) -> None:
    """Poll until a condition is true, and let the event loop run in between."""
    async with asyncio.timeout(timeout):
        while True:
            seen = condition()
            if await seen if isinstance(seen, Awaitable) else seen:
                return
            await asyncio.sleep(0.002)
