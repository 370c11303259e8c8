"""Networks that accept data and never answer: work continues within seconds, and nothing runs twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

import baton_dsl.runtime.executing.worker  # noqa: F401 - so that each instance is accompanied from its start
from baton_dsl import Flow
from baton_dsl.runtime.database import silence
from baton_dsl.runtime.database.pools import kept_alive, open_pool
from baton_dsl.runtime.database.silence import SilenceError, WatchedAsyncConnection, WatchedConnection
from baton_dsl.runtime.oban.bridge import Running
from tests.conftest import StartOban, until
from tests.integration.modules import steps
from tests.integration.modules.pooled_steps import pooled
from tests.integration.modules.stopping_steps import GO_ON, RUNS, waits
from tests.pgbouncer import pgbouncer
from tests.proxy import Proxy, proxy

TIMEOUT = 60
LOCKED_HERE = "locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
"""The server serves the databases of other tests too."""
SOON = 30.0
"""Seconds within which work goes on, on a machine that is busy."""


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(silence, "GIVE_UP", 300.0)  # the server can be asked here, and is
    RUNS.clear()
    GO_ON.clear()
    yield
    GO_ON.set()


@pytest.fixture
def network(dsn: str) -> Iterator[Proxy]:
    with proxy(dsn) as made:
        yield made


async def test_a_statement_that_is_never_answered_ends_with_an_error(network: Proxy) -> None:
    async with await WatchedAsyncConnection.connect(network.dsn, autocommit=True) as conn:
        await conn.execute("SELECT 1")
        assert network.half_open() == 1
        began = time.monotonic()
        with pytest.raises(SilenceError, match="silent for 3 s"):
            await conn.execute("SELECT 2")
        assert conn.closed
    assert time.monotonic() - began < SOON


def test_the_same_in_a_thread(network: Proxy) -> None:
    with WatchedConnection.connect(network.dsn, autocommit=True) as conn:
        assert network.swallow() == 1  # the server believes in it
        with pytest.raises(SilenceError):
            conn.execute("SELECT 2")
        assert conn.closed


def test_what_a_silent_connection_had_locked_is_free_at_once(network: Proxy, conn: psycopg.Connection[Any]) -> None:
    """The server still trusts the connection, and would keep its transaction open for hours."""
    with WatchedConnection.connect(network.dsn) as watched:
        watched.execute("SELECT pg_advisory_xact_lock(11)")
        network.swallow()
        with pytest.raises(SilenceError):
            watched.execute("SELECT 2")
    conn.execute("SET lock_timeout = '5s'")
    conn.execute("SELECT pg_advisory_xact_lock(11)")


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(4)", "SELECT pg_advisory_lock(7)"], ids=["slow", "locked"])
def test_a_slow_statement_is_left_alone(
    network: Proxy, conn: psycopg.Connection[Any], statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WatchedConnection, "patience", 0.3)
    conn.execute("SELECT pg_advisory_lock(7)")
    releasing = threading.Timer(2.0, conn.execute, ["SELECT pg_advisory_unlock(7)"])
    releasing.start()
    with WatchedConnection.connect(network.dsn, autocommit=True) as watched:
        watched.execute(statement.encode())
        assert watched.execute("SELECT 1").fetchone() == (1,)
    releasing.join()


def test_a_server_that_lets_nobody_in_is_not_taken_for_a_silent_one(dsn: str) -> None:
    """Only a server that does not answer at all is given up early: a statement may run for a long time."""
    assert set(silence._borne(make_conninfo(dsn, user="nobody-here"), [1, 2]).values()) == {silence.REFUSED}
    assert set(silence._borne("host=127.0.0.1 port=1 connect_timeout=1", [1]).values()) == {silence.GIVE_UP}
    assert silence._borne(dsn, [1]) == {1: 0.0}  # there is no such backend


def test_behind_a_pooler_silence_is_borne_for_longer(dsn: str) -> None:
    with pgbouncer(dsn) as through:
        assert silence._borne(through, [1]) == {1: silence.POOLED}


async def test_an_answer_that_lies_unread_is_no_silence(network: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step blocks the event loop for longer than the limit."""
    monkeypatch.setattr(WatchedAsyncConnection, "patience", 0.3)
    async with await WatchedAsyncConnection.connect(network.dsn, autocommit=True) as conn:
        asking = asyncio.create_task(conn.execute("SELECT 1"))
        await asyncio.sleep(0.01)
        time.sleep(1.5)
        assert await (await asking).fetchone() == (1,)


async def test_who_listens_may_hear_nothing_for_long(network: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchedAsyncConnection, "patience", 0.3)
    async with await WatchedAsyncConnection.connect(network.dsn, autocommit=True) as conn:
        await conn.execute("LISTEN quiet")
        assert [each async for each in conn.notifies(timeout=1.5)] == []
        assert not conn.closed


async def test_a_pool_replaces_all_that_does_not_answer(network: Proxy) -> None:
    pool = await open_pool(network.dsn, min_size=4, max_size=4)
    try:
        assert network.half_open() == 4
        began = time.monotonic()
        with pytest.raises(SilenceError):
            async with pool.connection() as conn:
                await conn.execute("SELECT 1")
        for _ in range(8):
            async with pool.connection() as conn:
                await conn.execute("SELECT 1")
        assert time.monotonic() - began < SOON
    finally:
        await pool.close()


def test_connections_are_kept_alive_unless_the_dsn_says_otherwise() -> None:
    assert "tcp_user_timeout=10000" in kept_alive("host=db")
    assert "keepalives_idle=15" in kept_alive("postgresql://db/app")
    assert "keepalives_idle=60" in kept_alive("host=db keepalives_idle=60")


async def test_work_goes_on_when_all_connections_are_half_open(
    network: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """Includes the pool that an application created, in the middle of a step."""
    async with (
        AsyncConnectionPool[Any](network.dsn, min_size=4, max_size=4, open=False) as pool,
        start_oban(pool=pool),
    ):
        workflow = Flow("silent").add("first", waits).add("next", steps.noop, deps=["first"]).insert(conn)
        await until(lambda: bool(RUNS), TIMEOUT)
        assert network.half_open() > 4
        GO_ON.set()
        other = Flow("other", steps.noop).insert(conn)
        began = time.monotonic()
        query = "SELECT bool_and(outcome = 'completed') FROM baton_workflows WHERE workflow_id = ANY(%s)"
        await until(lambda: conn.execute(query, [[workflow.id, other.id]]).fetchone() == (True,), TIMEOUT)
        seconds = time.monotonic() - began
    assert seconds < SOON
    assert conn.execute("SELECT max(attempt), count(*) FROM oban_jobs WHERE state = 'completed'").fetchone() == (1, 3)
    assert len(RUNS) == 1
    print(f"from the silence of all connections to the end of the workflows: {seconds:.1f} s")


async def test_a_process_whose_guard_is_silent_runs_its_steps_on(
    network: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """The server closed only the guard, so its lock is free; other processes look for orphans every second."""
    locks = f"SELECT pid FROM pg_locks WHERE {LOCKED_HERE} AND granted ORDER BY pid".encode()
    async with (
        AsyncConnectionPool[Any](network.dsn, min_size=1, max_size=4, open=False) as pool,
        start_oban(pool=pool),
        start_oban(name="another", queues={"other": 1}),
    ):
        Flow("alone").add("first", waits).insert(conn)
        await until(lambda: bool(RUNS), TIMEOUT)
        await until(lambda: len(conn.execute(locks).fetchall()) == 2, TIMEOUT)
        before = conn.execute(locks).fetchall()
        assert network.half_open(b"baton_guard") == 1
        await until(lambda: len(conn.execute(locks).fetchall()) == 1, TIMEOUT)
        await until(lambda: len(conn.execute(locks).fetchall()) == 2, TIMEOUT)
        assert conn.execute(locks).fetchall() != before
        GO_ON.set()
        await until(lambda: ended(conn) == ("completed", 1), TIMEOUT)
    assert RUNS == [("first", 1)]


async def test_a_process_without_a_guard_is_asked_whether_it_lives(
    start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard can't reconnect, and its locks are free."""
    monkeypatch.setattr("baton_dsl.runtime.oban.guard.INTERVAL", 0.1)
    async with start_oban(), start_oban(name="another", queues={"other": 1}):
        Flow("alone").add("first", waits).insert(conn)
        await until(lambda: bool(RUNS), TIMEOUT)
        await until(lambda: guarded(conn) == 2, TIMEOUT)
        monkeypatch.setattr(Running, "connect", no_way)
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN oban_producers ON queue = 'default' "
            f"WHERE {LOCKED_HERE} AND (classid::bigint << 32) | objid::bigint = baton_producer_key(uuid::text)"
        )
        proven = "SELECT FROM baton_suspects WHERE suspected_at > now() + interval '2 seconds'"
        await until(lambda: conn.execute(proven).fetchone() is not None, TIMEOUT)
        for _ in range(2):  # again and again
            conn.execute("UPDATE baton_suspects SET suspected_at = now()")
            await until(lambda: conn.execute(proven).fetchone() is not None, TIMEOUT)
        GO_ON.set()
        await until(lambda: ended(conn) == ("completed", 1), TIMEOUT)
    assert RUNS == [("first", 1)]


def no_way(_: Running) -> psycopg.Connection[Any]:
    raise psycopg.OperationalError("no way")


def guarded(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("SELECT count(*) FROM oban_producers WHERE meta -> 'baton_guarded' = 'true'").fetchone()
    return row[0] if row is not None else 0


def ended(conn: psycopg.Connection[Any]) -> tuple[str, int] | None:
    return conn.execute("SELECT state::text, attempt FROM oban_jobs ORDER BY id LIMIT 1").fetchone()


async def test_a_listener_that_hears_nothing_is_replaced(
    network: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton_dsl.runtime.oban.listening.BEAT", 0.2)
    async with (
        AsyncConnectionPool[Any](network.dsn, min_size=1, max_size=4, open=False) as pool,
        start_oban(pool=pool) as oban,
    ):
        listens = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
        )
        await until(lambda: conn.execute(listens).fetchone() is not None)
        heard = asyncio.Event()
        await oban._notifier.listen("test", lambda *_: heard.set())
        assert network.half_open(b"LISTEN")
        began = time.monotonic()
        while not heard.is_set():
            conn.execute("SELECT pg_notify('public.oban_test', '{}')")
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < SOON


async def test_steps_that_take_a_connection_go_on_too(
    network: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """The idle connections that are kept for steps are half-open as well."""
    conn.execute("CREATE TABLE notes (note text)")
    query = "SELECT count(*) FROM baton_workflows WHERE outcome = 'completed'"
    async with (
        AsyncConnectionPool[Any](network.dsn, min_size=1, max_size=4, open=False) as pool,
        start_oban(pool=pool),
    ):
        pooled.insert(conn, count=2)
        await until(lambda: conn.execute(query).fetchone() == (1,), TIMEOUT)
        assert network.half_open() >= 5
        began = time.monotonic()
        pooled.insert(conn, count=2)
        await until(lambda: conn.execute(query).fetchone() == (2,), TIMEOUT)
        seconds = time.monotonic() - began
    assert conn.execute("SELECT count(*) FROM notes").fetchone() == (4,)
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    print(f"from the silence to the end of a workflow whose steps take connections: {seconds:.1f} s")
