"""A connection that is kept for the next settle never makes others wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from baton_dsl.runtime.database import pools
from baton_dsl.runtime.database.pools import Lease
from tests.conftest import StartOban
from tests.integration.modules import mapped
from tests.integration.test_hops import chain


@pytest.fixture
async def single(dsn: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool[Any](dsn, min_size=1, max_size=1, timeout=5, open=False) as pool:
        yield pool


async def backend(lease: Lease) -> int:
    async with lease.connection() as conn:
        return conn.info.backend_pid


def is_free(pool: AsyncConnectionPool[Any]) -> bool:
    return pool.get_stats()["pool_available"] == 1


async def test_it_is_kept_until_it_is_released(single: AsyncConnectionPool[Any]) -> None:
    lease = Lease(single)
    assert await backend(lease) == await backend(lease)
    assert not is_free(single)
    await lease.release()
    await lease.release()
    assert is_free(single)
    async with single.connection() as conn:
        assert not conn.autocommit


async def test_whoever_waits_for_a_connection_gets_it(single: AsyncConnectionPool[Any]) -> None:
    lease = Lease(single)
    async with lease.connection():
        waiting = asyncio.create_task(single.getconn())
        while not single.get_stats().get("requests_waiting"):
            await asyncio.sleep(0)
    await single.putconn(await asyncio.wait_for(waiting, 5))


async def test_it_is_given_back_after_a_while(
    single: AsyncConnectionPool[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "LONGEST_LEASE", 0.0)
    await backend(Lease(single))
    assert is_free(single)


async def test_after_an_error_it_is_given_back(single: AsyncConnectionPool[Any]) -> None:
    lease = Lease(single)
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with lease.connection() as conn:
            await conn.execute("SELECT 1 / 0")
    assert is_free(single)
    await backend(lease)
    await lease.release()


async def test_two_at_once_have_two(pool: AsyncConnectionPool[Any]) -> None:
    lease = Lease(pool)
    async with lease.connection() as one, lease.connection() as other:
        assert one is not other
    await lease.release()
    assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]


async def test_a_worker_with_one_connection_executes_chains_and_what_is_beside_them(
    start_oban: StartOban, single: AsyncConnectionPool[Any]
) -> None:
    async with start_oban(queues={"default": 20}, pool=single):
        workflows = [await chain(40).insert() for _ in range(3)]
        workflows += [await mapped.summing.insert(count=20) for _ in range(3)]
        assert {(await each.wait(timeout=60)).outcome for each in workflows} == {"completed"}
    assert is_free(single)


async def test_what_needs_a_transaction_is_committed_at_once(dsn: str, conn: psycopg.Connection[Any]) -> None:
    """Where the defaults do not suit, a statement runs in a transaction; nobody may hear of it before its commit."""
    conn.execute("CREATE TABLE written (number integer)")
    defaults = "-c default_transaction_isolation=repeatable\\ read"
    async with AsyncConnectionPool[Any](
        dsn, min_size=1, max_size=1, timeout=5, open=False, kwargs={"options": defaults}
    ) as pool:
        lease = Lease(pool)
        async with lease.connection() as kept:
            await kept.execute("INSERT INTO written VALUES (1)")
        assert conn.execute("SELECT number FROM written").fetchall() == [(1,)]
        assert is_free(pool)
