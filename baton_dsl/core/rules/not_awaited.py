"""BTN309: an `insert` that returns an awaitable that nobody awaits."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN309", "baton-not-awaited")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each visible `insert` whose awaitable is dropped."""
    for call in context.flow.inserts:
        if call.is_dropped:
            yield finding(
                "nobody awaits this insert, so nothing is inserted",
                help="write: await flow.insert(...)",
                place=call.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an `insert` on an async connection that nobody awaits",
    why=(
        "With an async connection, or with none, `insert` returns an awaitable. If nobody awaits it, no row is "
        "written, and the only sign is a warning at the next garbage collection."
    ),
    bad=(
        Example(
            """\
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

shop = Flow("shop", orders)

async def order(session: AsyncSession, sessions: async_sessionmaker[AsyncSession]) -> None:
    shop.insert(session)
    async with sessions.begin() as other:
        shop.options(debug=True).insert(other)
    shop.insert()
    shop.insert_many(session, [{}, {}])
""",
            (
                "12:5: BTN309: nobody awaits this insert, so nothing is inserted",
                "14:9: BTN309: nobody awaits this insert, so nothing is inserted",
                "15:5: BTN309: nobody awaits this insert, so nothing is inserted",
                "16:5: BTN309: nobody awaits this insert, so nothing is inserted",
            ),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
import asyncio

from psycopg import Connection
from sqlalchemy.ext.asyncio import AsyncSession

from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

shop = Flow("shop", orders)

async def order(session: AsyncSession) -> None:
    await shop.insert(session)
    inserting = shop.insert(session)
    await asyncio.gather(inserting, shop.insert())

def nightly(connection: Connection) -> None:
    shop.insert(connection)
"""
        ),
    ),
    run=run,
    doors=frozenset({Door.TEXT}),
)
