"""One PostgreSQL for the whole run, a fresh database for each test, and Oban instances that stop afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager
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
from tests.dealing import dealt

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
TEMPLATE = f"baton_template_{RUN[:12]}"

STOPPED = "stopped"
"""The folder beside that of the server which is as that was before it started."""
SETTINGS = {
    **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off"),
    "deadlock_timeout": "50ms",  # two that wait for each other are found sooner
    "max_connections": "300",
}


@pytest.hookimpl(trylast=True)  # after those that are not to run have been left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal the tests to the workers of xdist."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = dealt(items, workers)


type StartOban = Callable[..., AbstractAsyncContextManager[Oban]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The embedded PostgreSQL, shared by all processes of the run; durable storage is not what is tested here.

    `BATON_TEST_DSN` names another server to test on, of which the user must be a superuser.

    Not below pytest's own folder: every other pytest that starts on the machine closes that to other users, and the
    server, when root runs the tests, is one.
    """
    base = tmp_path_factory.getbasetemp()
    folder = Path(tempfile.gettempdir()) / f"baton-tests-{RUN}" / "postgres"
    given = os.environ.get("BATON_TEST_DSN")
    with ExitStack() as stack:
        with ((base if worker_id == "master" else base.parent) / "server.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            dsn = given or stack.enter_context(configured(folder))
            with psycopg.connect(dsn, autocommit=True) as conn:
                if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
                    conn.execute(f"CREATE DATABASE {TEMPLATE}_new")
                    schema.install(make_conninfo(dsn, dbname=f"{TEMPLATE}_new"))
                    conn.execute(f"ALTER DATABASE {TEMPLATE}_new RENAME TO {TEMPLATE}")
        yield dsn
    if not (folder / "postmaster.pid").exists():  # the last process has stopped the server
        shutil.rmtree(folder.parent, ignore_errors=True)


def configured(folder: Path) -> AbstractContextManager[str]:
    """The embedded server of a folder, with our settings, some of which it reads only as it starts."""
    if not (folder / "PG_VERSION").exists():
        with serve(folder) as dsn, psycopg.connect(dsn, autocommit=True) as conn:
            for setting, value in SETTINGS.items():
                conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
        copied(folder, folder.parent / STOPPED)
    return serve(folder)


def copied(folder: Path, to: Path) -> None:
    """Copy the folder of a server that does not run, with its owner."""
    subprocess.run(["cp", "--archive", folder, to], check=True)


@pytest.fixture
def prepare_server(server: str) -> Callable[[Path], None]:
    """Prepares a folder for an embedded server, which need not make a cluster then: that takes two seconds."""

    def prepare(folder: Path) -> None:
        stopped = Path(tempfile.gettempdir()) / f"baton-tests-{RUN}" / STOPPED
        if stopped.exists():  # tests do not run on somebody's own server
            folder.parent.mkdir(parents=True, exist_ok=True)
            copied(stopped, folder)

    return prepare


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
