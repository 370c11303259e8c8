"""What every type checker finds wrong without any help: one error on each marked line, and none elsewhere."""

from typing import Any

from psycopg import AsyncConnection

from baton_dsl import Flow, From, Input, Workflow, step


@step
async def token(key: Input[str]) -> str:
    return key


@step
def total(token: str) -> int:
    return len(token)


@step
def wrong(left: int = From(token)) -> int:  # error
    return left


@step
def absent(
    left: str = From(total),  # error
) -> None: ...


def no_step() -> int:
    return 1


def calls() -> None:
    total(3)  # error
    total("t", 1)  # error
    total(tokn="t")  # error
    result: str = total("t")  # error
    print(result)
    Flow("x", no_step)  # error
    Flow("x", total, queue="x")  # error, which ty does not see
    Flow("x").add("y", no_step)  # error


async def results(workflow: Workflow) -> None:
    text: str = await workflow.result(total)  # error
    texts: list[str] = await workflow.results_of(total)  # error
    deep: list[int] = await workflow.results_of(total, levels=2)  # error
    print(text, texts, deep)
    await workflow.results_of(no_step)  # error


async def inserts(connection: AsyncConnection[Any]) -> None:
    Flow("x", total).insert(connection)  # error, which ty does not see
    Flow("x", total).insert()  # error, which ty does not see
