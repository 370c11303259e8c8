"""What every type checker infers of the DSL without any help. Checked by mypy, pyright (strict), ty and pyrefly."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, assert_type

from psycopg import AsyncConnection, Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from baton_dsl import Each, Flow, From, Input, Outcome, Skip, Step, StepContext, Workflow, step
from baton_dsl.testing import Run
from baton_dsl.testing.database import DatabaseRun


class Token: ...


class Report: ...


@step(queue="auth", max_attempts=5)
async def fetch_token(api_key: Input[str], retries: Input[int] = 3) -> Token:
    return Token()


@step
def regions(fetch_token: Token) -> list[str]:
    return []


@step
def anything(regions: list[str]) -> Any:
    return regions


@step
async def anything_later(regions: list[str]) -> Any:
    return regions


@step
def report(
    regions: list[str],
    token: Token = From(fetch_token),
    again: Annotated[Token, From("fetch_token")] = From("fetch_token"),
    maybe: Token | None = From(fetch_token),
) -> Report:
    return Report()


@step(combine="zip", max_concurrency=3, max_items=10, min_success=0.5)
def orders(regions: Each[str], rates: Each[Each[Input[float]]]) -> int | Skip:
    return len(regions) or Skip("no orders")


@step
async def mapped(regions: Each[str]) -> int:
    return len(regions)


@step
def nested(rows: Each[Each[Input[int]]]) -> int:
    return rows


@step
def failures(orders: list[list[Outcome[int]]]) -> list[str | None]:
    return [order.reason for row in orders for order in row if not order.ok]


@step(after=("report",), ignore_discarded=True)
async def cleanup(context: StepContext) -> None: ...


class Billing:
    @staticmethod
    @step
    def charge(regions: list[str]) -> int:
        return len(regions)


billing = Flow("billing", fetch_token, regions, report, cleanup, Billing.charge, anything)
built = Flow("built").add("eu", regions.named("eu"), deps=["x"]).options(debug=True)

assert_type(regions(Token()), list[str])
assert_type(regions(fetch_token=Token()), list[str])
assert_type(Billing.charge([]), int)
assert_type(regions.named("other")(Token()), list[str])
assert_type(report([]), Report)
assert_type(billing.step_names, tuple[str, ...])
assert_type(billing.validate(), list[str])


async def calls() -> None:
    assert_type(await fetch_token("key"), Token)
    assert_type(await fetch_token(api_key="key", retries=1), Token)
    assert_type(await fetch_token.bind(api_key="key")("key"), Token)
    assert_type(await anything_later([]), Any)


async def inserts(
    pg: Connection[Any], async_pg: AsyncConnection[Any], session: Session, async_session: AsyncSession
) -> None:
    assert_type(billing.insert(pg, api_key="x"), Workflow[str])
    assert_type(billing.insert(session, api_key="x"), Workflow[str])
    _ = assert_type(billing.insert(async_pg, api_key="x"), Coroutine[Any, Any, Workflow[str]])
    _ = assert_type(billing.insert(async_session, api_key="x"), Coroutine[Any, Any, Workflow[str]])
    _ = assert_type(billing.insert(api_key="x"), Coroutine[Any, Any, Workflow[str]])
    assert_type(await billing.insert(), Workflow[str])
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(billing.insert(async_pg)), asyncio.Task[Workflow[str]])
    assert_type(await asyncio.wait_for(billing.insert(), 1), Workflow[str])


def main() -> None:
    assert_type(asyncio.run(billing.insert(api_key="x")), Workflow[str])


async def results(workflow: Workflow, step: Step[..., Report]) -> None:
    assert_type(await workflow.result(report), Report)
    assert_type(await workflow.result(fetch_token), Token)
    assert_type(await workflow.result(step), Report)
    assert_type(await workflow.result("report"), Any)
    assert_type(workflow.sync.result(regions), list[str])
    assert_type(await workflow.results(), Mapping[str, Any])
    assert_type(await workflow.results_of(mapped), list[int])
    assert_type(await workflow.results_of(nested, levels=2), list[list[int]])
    assert_type(await workflow.results_of(nested, 3), list[int])
    assert_type(await workflow.results_of("mapped"), list[Any])
    assert_type(workflow.sync.results_of(mapped), list[int])
    assert_type(workflow.sync.results_of(nested, levels=2), list[list[int]])
    assert_type(await workflow.result(mapped, 3), int)


def tested(run: Run, database_run: DatabaseRun) -> None:
    assert_type(run.results_of(mapped), list[int])
    assert_type(run.results_of(nested, levels=2), list[list[int]])
    assert_type(database_run.results_of(mapped), list[int])
    assert_type(database_run.results_of("mapped", (1, 2)), list[Any])


assert_type(orders("eu", 1.5), int | Skip)
assert_type(failures([[Outcome("completed", 1), Outcome[int]("skipped", reason="none")]]), list[str | None])
assert_type(Outcome[int]("completed", 1).value, int | None)
numbers: Outcome[float] = Outcome[int]("completed", 1)


def never(context: StepContext) -> int:
    context.skip("nothing to do")
