"""Steps and flows that the integration tests run. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

from oban import Cancel, Job, Oban, Snooze, current_job, worker
from pydantic import BaseModel

from baton_dsl import Flow, From, Input, StepContext, step

# --- a flow with a bit of everything -----------------------------------------------------------------------------


class Token(BaseModel):
    value: str
    issued_at: datetime


@step(queue="auth", max_attempts=5)
async def fetch_token(api_key: Input[str], retries: Input[int] = 3) -> Token:
    return Token(value=f"{api_key}/{retries}", issued_at=datetime.fromisoformat("2026-01-02T03:04:05+00:00"))


@step
def regions(fetch_token: Token) -> list[str]:
    return ["eu", "us"] if fetch_token.value else []


@step
async def orders(fetch_token: Token, regions: list[str]) -> dict[str, int]:
    return {region: len(region) + len(fetch_token.value) for region in regions}


@step(priority=1)
def report(orders: dict[str, int], token: Token = From(fetch_token)) -> str:
    return f"{sorted(orders.items())} {token.value}"


billing = Flow("billing", report, orders, regions, fetch_token)


# --- every kind of type ------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: float


class Row(TypedDict):
    id: UUID
    price: Decimal


@dataclass
class Line:
    start: Point
    rows: list[Row]
    colour: Colour | None


class Page[T](BaseModel):
    items: list[T]
    next: Page[T] | None = None


ROW: Row = {"id": UUID(int=7), "price": Decimal("12.50")}
VALUES: dict[str, Any] = {
    "a_model": Token(value="v", issued_at=datetime.fromisoformat("2026-01-02T03:04:05+02:00")),
    "a_dataclass": Line(Point(1, 2.5), [ROW], Colour.BLUE),
    "a_typed_dict": ROW,
    "an_enum": Colour.RED,
    "a_date": date(2026, 2, 28),
    "a_duration": timedelta(days=1, microseconds=3),
    "a_uuid": UUID(int=12345),
    "a_decimal": Decimal("0.1000000000000000000000000001"),
    "a_union": [1, "1", None, 1.5],
    "a_generic": Page[Point](items=[Point(1, 2.0)], next=Page[Point](items=[])),
    "a_set": {(1, "a"), (2, "b")},
    "some_bytes": b"\xff\x00\x80",
    "some_floats": [float("inf"), float("-inf"), 1e308],
    "a_text": 'NUL \x00, "quotes", \\ and \N{SNOWMAN}',
    "a_large_number": 2**80,
    "nothing": None,
}


@step
def a_model() -> Token:
    return VALUES["a_model"]


@step
def a_dataclass() -> Line:
    return VALUES["a_dataclass"]


@step
def a_typed_dict() -> Row:
    return VALUES["a_typed_dict"]


@step
def an_enum() -> Colour:
    return VALUES["an_enum"]


@step
def a_date() -> date:
    return VALUES["a_date"]


@step
def a_duration() -> timedelta:
    return VALUES["a_duration"]


@step
def a_uuid() -> UUID:
    return VALUES["a_uuid"]


@step
def a_decimal() -> Decimal:
    return VALUES["a_decimal"]


@step
def a_union() -> list[int | str | float | None]:
    return VALUES["a_union"]


@step
def a_generic() -> Page[Point]:
    return VALUES["a_generic"]


@step
def a_set() -> set[tuple[int, str]]:
    return VALUES["a_set"]


@step
def some_bytes() -> bytes:
    return VALUES["some_bytes"]


@step
def some_floats() -> list[float]:
    return VALUES["some_floats"]


@step
def a_text() -> str:
    return VALUES["a_text"]


@step
def a_large_number() -> int:
    return VALUES["a_large_number"]


@step
def nothing() -> None:
    return None


@step
def arrived(
    a_model: Token,
    a_dataclass: Line,
    a_typed_dict: Row,
    an_enum: Colour,
    a_date: date,
    a_duration: timedelta,
    a_uuid: UUID,
    a_decimal: Decimal,
    a_union: list[int | str | float | None],
    a_generic: Page[Point],
    a_set: set[tuple[int, str]],
    some_bytes: bytes,
    some_floats: list[float],
    a_text: str,
    a_large_number: int,
    nothing: None,
) -> list[str]:
    """The names of the values that came back changed."""
    got = dict(locals())
    return [name for name, value in VALUES.items() if got[name] != value or type(got[name]) is not type(value)]


every_type = Flow(
    "every type",
    *(a_model, a_dataclass, a_typed_dict, an_enum, a_date, a_duration, a_uuid, a_decimal, a_union, a_generic, a_set),
    *(some_bytes, some_floats, a_text, a_large_number, nothing, arrived),
)


# --- small ones ----------------------------------------------------------------------------------------------------


@step
async def noop() -> None: ...


@step
def add_upstreams(context: StepContext) -> int:
    """One more than the sum of all upstreams."""
    return 1 + sum(context.upstream.values())


TRACE: list[tuple[str, str]] = []


@step
def traced(context: StepContext) -> int:
    """Does the same as `add_upstreams`, and records when it ran."""
    TRACE.append(("start", context.step))
    total = 1 + sum(context.upstream.values())
    TRACE.append(("end", context.step))
    return total


@step
def number(value: Input[int]) -> int:
    return value


@step(max_attempts=1)
def fails() -> int:
    raise RuntimeError("no luck today")


@step(max_attempts=3, backoff=0)
def fails_twice(context: StepContext) -> str:
    if context.attempt < 3:
        raise RuntimeError(f"attempt {context.attempt}")
    return context.idempotency_key


@step
def cancels() -> int:
    return Cancel("not today")  # type: ignore[return-value]


@step
def snoozes(context: StepContext) -> int:
    job = current_job()
    assert job is context.job
    if not job.meta.get("snoozed"):
        return Snooze(0)  # type: ignore[return-value]
    return context.attempt


@step
def ends_by_context(how: Input[str], context: StepContext) -> int:
    """Runs in a thread, and is not stopped by an `except Exception`."""
    try:
        if how == "cancel":
            context.cancel("no stock")
        if how == "snooze" and not context.job.meta.get("snoozed"):
            context.snooze(0)
    except Exception as error:
        raise AssertionError("not to be caught") from error
    return context.attempt


@step
async def ends_by_context_async(context: StepContext) -> int:
    context.cancel("no stock either")


@step(max_attempts=20)
def lies() -> int:
    return "seven"  # type: ignore[return-value]


@step(max_attempts=20)
def boasts(size: Input[int]) -> str:
    return "x" * size


@step(max_attempts=1, timeout=0.05)
async def dawdles() -> None:
    await asyncio.Event().wait()


@step
def in_a_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


@step
def after_all(number: int | None, fails: int | None) -> str:
    return f"{number} {fails}"


@step
def circumstances(context: StepContext) -> dict[str, Any]:
    return {
        "workflow_id": context.workflow_id,
        "workflow_name": context.workflow_name,
        "step": context.step,
        "attempt": context.attempt,
        "max_attempts": context.max_attempts,
        "model": context.model,
        "debug": context.debug,
        "upstream": dict(context.upstream),
        "idempotency_key": context.idempotency_key,
        "cancelled": context.cancelled(),
        "job": context.job.meta["workflow_name"],
    }


class Signs:
    """Keeps a step running until the test releases it, without a clock."""

    def __init__(self) -> None:
        self._waiting, self._given = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        self._waiting.set()
        await self._given.wait()
        self._waiting, self._given = asyncio.Event(), asyncio.Event()

    async def waiting(self) -> None:
        await self._waiting.wait()

    def give(self) -> None:
        self._given.set()


SIGNS = Signs()


@step
async def waits_for_a_sign() -> None:
    await SIGNS.wait()


CALLS: list[str] = []


@step
async def counts_its_calls() -> int:
    CALLS.append("called")
    return len(CALLS)


@step(max_attempts=1)
async def fails_once_more(context: StepContext) -> str:
    if context.attempt == 1:
        raise RuntimeError("the first time")
    return "at last"


@step
async def holds_until_told(context: StepContext) -> int:
    """Returns its attempt once a table called `told` is there."""
    pool = Oban.get_instance()._query._pool
    while True:
        async with pool.connection() as conn:
            if await (await conn.execute("SELECT to_regclass('told') IS NOT NULL AS told")).fetchone() == (True,):
                return context.attempt
        await asyncio.sleep(0.01)


# --- plain Oban workers ----------------------------------------------------------------------------------------------


@worker(queue="default", max_attempts=1)
class ExportWorker:
    async def process(self, job: Job) -> None:
        if job.args.get("fail"):
            raise RuntimeError("export failed")
