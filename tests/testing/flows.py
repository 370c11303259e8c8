"""The flows that the tests of the testing kit run."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import timedelta

import psycopg
from pydantic import BaseModel

from baton_dsl import Each, Flow, From, Input, Outcome, Skip, StepContext, WorkflowStatus, step


class Token(BaseModel):
    value: str


class Report(BaseModel):
    total: int


@step
async def fetch_token(api_key: Input[str]) -> Token:
    raise AssertionError(f"no test calls the service with {api_key}")


@step(backoff=2)
def charge(fetch_token: Token, amount: Input[int] = 12) -> int:
    return amount


@step
def report(charge: int) -> Report:
    return Report(total=charge)


ended: list[WorkflowStatus] = []


def note_the_end(status: WorkflowStatus) -> None:
    ended.append(status)


billing = Flow("billing", fetch_token, charge, report, on_settled=note_the_end)


@step
def regions(country: Input[str]) -> list[str]:
    return [f"{country}-north", f"{country}-south"]


@step(max_attempts=2, backoff=lambda attempt: timedelta(minutes=attempt))
async def orders(regions: Each[str]) -> int:
    return len(regions)


@step(ignore_discarded=True)
def summary(orders: list[Outcome[int]]) -> str:
    return ", ".join(str(item.value) if item.ok else f"{item.state}: {item.reason}" for item in orders)


shop = Flow("shop", regions, orders, summary)


@step(timeout=3, max_attempts=1)
async def slow() -> None:
    await asyncio.sleep(10)


@step(cancellable=True)
async def patient() -> None:
    await asyncio.sleep(1_000_000)


@step(scheduled_in=timedelta(days=2))
def later() -> int:
    return 1


@step
def again(context: StepContext) -> int:
    if not context.job.errors and context.attempt == 1 and not later_seen:
        later_seen.append(1)
        context.snooze(3600)
    return len(later_seen)


later_seen: list[int] = []


@step
def deaf() -> None:
    pass


@step
async def waits_for_nothing() -> None:
    await asyncio.get_running_loop().create_future()


@step
def writes(connection: psycopg.Connection) -> int:
    return connection.execute("SELECT 1").rowcount


leaking: contextvars.ContextVar[str] = contextvars.ContextVar("leaking", default="unset")


@step
async def leaks() -> None:
    leaking.set("leaked")


@step
async def looks(leaks: None) -> str:
    return leaking.get()


@step
def maybe() -> int | Skip:
    return Skip("nothing to do")


@step
def needs(maybe: int) -> int:
    return maybe


@step
def can_do_without(maybe: int | None) -> int:
    return maybe or -1


skipping = Flow("skipping", maybe, needs, can_do_without)


# --- what an exploration finds --------------------------------------------------------------------------------------

charged: dict[str, int] = {}
charges: list[int] = []
balance = [0]


def forget() -> None:
    charged.clear()
    charges.clear()
    balance[0] = 0


@step
async def price(amount: Input[int]) -> int:
    return amount


@step
def charge_twice(price: int) -> int:
    charges.append(price)
    return price


@step
def charge_once(price: int, context: StepContext) -> int:
    if context.idempotency_key not in charged:
        charged[context.idempotency_key] = price
        charges.append(price)
    return price


@step
async def book(charged: int = From("charge")) -> int:
    seen = balance[0]
    await asyncio.sleep(0)
    balance[0] = seen + charged
    return charged


@step
async def book_fees(charged: int = From("charge")) -> int:
    seen = balance[0]
    await asyncio.sleep(0.5)
    balance[0] = seen + 1
    return 1


@step
def close(book: int, book_fees: int) -> int:
    return book + book_fees


careless = Flow("careless", price, charge_twice.named("charge"), book, book_fees, close)
careful = Flow("careful", price, charge_once.named("charge"), report.named("report"))


# --- steps of random flows --------------------------------------------------------------------------------------------


@step(max_attempts=3, backoff=1)
def work(context: StepContext) -> int:
    return sum(value or 0 for value in context.upstream.values() if isinstance(value, int))


@step(max_attempts=3, backoff=1)
def numbers(context: StepContext) -> list[int]:
    return [1, 2, 3]


@step(max_attempts=2, backoff=1)
def item(numbers: Each[int]) -> int | Skip:
    return numbers


@step(max_attempts=2, backoff=1, max_concurrency=1, min_success=1)
def windowed(numbers: Each[int]) -> int | Skip:
    return numbers


@step(max_attempts=2, backoff=1)
def follows(item: Each[int]) -> int:
    return item * 10


@step(max_attempts=2, backoff=1)
def follows_anyway(item: Each[int | None]) -> int:
    return (item or 0) * 10


@step(ignore_discarded=True, ignore_cancelled=True)
def gathers(item: list[int | None] | None, windowed: list[Outcome[int]] | None) -> list[str]:
    return [str(item), str([it.state for it in windowed or []])]


MODELS = ("anthropic:a", "openai:b\u00e9\\", 'local:"c"')


@step(max_attempts=2, backoff=1, models=MODELS)
async def assess(numbers: list[int] | None, context: StepContext) -> int | Skip:
    return len(context.model or "") + len(numbers or ())


@step(max_attempts=2, backoff=1, models=MODELS[:2], max_concurrency=1, min_success=1)
def vote(context: StepContext) -> str:
    return context.model or "none"


@step(max_attempts=2, backoff=1)
def synthesis(assess: dict[str, int]) -> list[str]:
    return [f"{model}: {value}" for model, value in assess.items()]


@step(max_attempts=2, backoff=1)
def synthesis_anyway(assess: dict[str, int | None]) -> list[str]:
    return [f"{model}: {value}" for model, value in assess.items()]


@step(ignore_discarded=True, ignore_cancelled=True)
def compares(
    assess: dict[str, int | None] | None, vote: dict[str, Outcome[str]] | None, context: StepContext
) -> list[str]:
    seen = {model: it.state for model, it in (vote or {}).items()}
    return [str(assess), str(seen), str(context.upstream["vote"])]
