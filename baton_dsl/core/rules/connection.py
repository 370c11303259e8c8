"""BTN310: a connection to the database that the step can't work with."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import Access, ParameterSpec, StepSpec

finding = Finder("BTN310", "baton-connection")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each connection of the wrong kind, and for each one too many."""
    for step in context.flow.steps:
        taken = [parameter for parameter in step.parameters if parameter.access is not None]
        for parameter in taken:
            if step.is_async is not None and step.is_async is not (parameter.access is Access.ASYNC):
                yield _wrong(step, parameter)
        for parameter in taken[1:]:
            yield finding(
                f'step "{step.name}" takes two connections, "{taken[0].name}" and "{parameter.name}"',
                help="keep one of them: what it writes is stored in the transaction that settles the step",
                step=step.name,
                parameter=parameter.name,
                place=parameter.place,
            )


def _wrong(step: StepSpec, parameter: ParameterSpec) -> Diagnostic:
    if step.is_async:
        message = f'"{parameter.name}" is a blocking connection, and step "{step.name}" is async'
        advice = "take an AsyncSession or AsyncConnection, or make the step a plain def, which runs in a thread"
    else:
        message = f'"{parameter.name}" is an async connection, and step "{step.name}" is not async'
        advice = "take a Session or Connection, or make the step an async def"
    return finding(message, help=advice, step=step.name, parameter=parameter.name, place=parameter.place)


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a connection to the database that the step can't work with: an async one in a plain step, or two of them",
    why=(
        "A step that takes a connection or a session gets one whose transaction also settles the step. A blocking one "
        "would stop the event loop of the worker, an async one can't be awaited in a thread, and of two transactions "
        "one could be stored without the other."
    ),
    bad=(
        Example(
            """\
from psycopg import AsyncConnection, Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from baton_dsl import Flow, step

@step
async def book(session: Session) -> int:
    return 1

@step
def charge(session: AsyncSession) -> int:
    return 2

@step
async def send(
    first: AsyncConnection,
    second: AsyncSession,
    third: Connection,
) -> int:
    return 3

shop = Flow("shop", book, charge, send)
""",
            (
                '8:16: BTN310: "session" is a blocking connection, and step "book" is async',
                '12:12: BTN310: "session" is an async connection, and step "charge" is not async',
                '18:5: BTN310: step "send" takes two connections, "first" and "second"',
                '19:5: BTN310: "third" is a blocking connection, and step "send" is async',
                '19:5: BTN310: step "send" takes two connections, "first" and "third"',
            ),
        ),
    ),
    good=(
        Example(
            """\
from typing import Annotated, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from baton_dsl import Flow, Input, step

class ShopSession(orm.Session):
    pass

type Database = Annotated[AsyncSession, "the shop's"]

@step
def order(item: Input[str], session: ShopSession) -> int:
    return 1

@step
async def charge(order: int, database: Database) -> int:
    return order

@step
def book(charge: int, connection: sa.Connection) -> int:
    return charge

@step
async def pack(book: int, conn: psycopg.AsyncConnection[dict[str, Any]]) -> int:
    return book

@step
async def send(pack: int, conn: AsyncConnection) -> int:
    return pack

@step
def report(send: int, conn: "psycopg.Connection[tuple[Any, ...]]") -> int:
    return send

shop = Flow("shop", order, charge, book, pack, send, report)
"""
        ),
    ),
    run=run,
    is_about_a_step=True,
)
