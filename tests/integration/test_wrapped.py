"""Steps and hooks below a decorator that knows nothing of async functions: their results are awaited."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from baton_dsl import Flow, StepContext, WorkflowStatus, step
from tests.conftest import StartOban, until

CALLS: list[str] = []


def timed[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """A decorator of an application, sync as most are."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        CALLS.append(f"{function.__name__} in {threading.current_thread().name.partition('_')[0]}")
        return function(*args, **kwargs)

    return wrapper


@step
@timed
async def numbers() -> list[int]:
    await asyncio.sleep(0)
    return [1, 2]


@step(max_attempts=1)
@timed
async def fails(numbers: list[int]) -> int:
    await asyncio.sleep(0)
    raise ValueError(f"no luck with {sum(numbers)}")


@step
@timed
async def skips(numbers: list[int], context: StepContext) -> int:
    await asyncio.sleep(0)
    context.skip("none are needed")


@step(timeout=1.0, max_attempts=1)
@timed
async def slow() -> int:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        CALLS.append("slow was cancelled")
        raise
    return 1


@step
@timed
async def books(conn: psycopg.Connection[Any]) -> int:
    await asyncio.sleep(0)
    conn.execute("CREATE TABLE booked ()")
    return 1


@timed
async def tells(status: WorkflowStatus) -> None:
    await asyncio.sleep(0)
    CALLS.append(f"told of {status.outcome}")


flow = Flow("wrapped", numbers, fails, skips, slow, books, on_settled=tells)


async def test_what_a_sync_wrapper_of_an_async_function_returns_is_awaited(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    CALLS.clear()
    async with start_oban():
        workflow = await flow.insert()
        await workflow.wait(60)
        assert await workflow.result(numbers) == [1, 2]
        assert await workflow.result(books) == 1
        nodes = {node.step: node for node in await workflow.nodes()}
        await until(lambda: "told of discarded" in CALLS)
    assert {name: node.state for name, node in nodes.items()} == {
        "numbers": "completed",
        "fails": "discarded",
        "skips": "skipped",
        "slow": "discarded",
        "books": "completed",
    }
    assert "ValueError: no luck with 3" in str(nodes["fails"].error)
    assert "TimeoutError" in str(nodes["slow"].error)
    assert "slow was cancelled" in CALLS
    assert conn.execute("SELECT count(*) FROM booked").fetchone() == (0,)
