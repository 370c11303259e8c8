"""What our triggers on Oban's table cost, with and without them, in turns.

Plain jobs must not notice them: what they cost is to be less than what the same measurement differs by when both sides
have none, which is the first row. Steps don't need them to get on: a settle does its work in its own statement.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psycopg
import uvloop

from tests.benchmarks import databases
from tests.benchmarks.execution import diamonds, execute, insert_raw
from tests.benchmarks.report import Row, medians, rate

ROUNDS = 9
JOBS = 3_000
WORKFLOWS = 500
TRIGGERS = """
SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
WHERE tgname LIKE 'baton%' AND NOT tgisinternal
"""


def run() -> list[Row]:
    """Plain jobs, and workflows."""
    with databases.server() as server:
        plain = partial(
            _row, server, f"{JOBS:,} plain jobs", JOBS, "jobs/s", lambda size: partial(insert_raw, size=size)
        )
        work = f"{WORKFLOWS} diamonds"
        return [
            plain(same=True),
            plain(),
            _row(server, work, 4 * WORKFLOWS, "steps/s", lambda size: partial(_insert, size=size)),
        ]


def _row(
    server: str, work: str, size: int, unit: str, insert: Callable[[int], Callable[[str], None]], *, same: bool = False
) -> Row:
    def measure(has_triggers: bool) -> float:
        dsn = databases.fresh(server)
        if not has_triggers:
            with psycopg.connect(dsn, autocommit=True) as conn:
                for (drop,) in conn.execute(TRIGGERS).fetchall():
                    conn.execute(drop)
        return size / uvloop.run(execute(dsn, insert(200), insert(size)))

    ours, bare = medians(ROUNDS, lambda: measure(not same), lambda: measure(False))
    return Row(
        work=f"{work} {'without' if same else 'with'} our triggers",
        measured=rate(ours, unit),
        reference=f"without {rate(bare, unit)}",
        ratio=ours / bare,
        goal="" if same else "1.0",
    )


def _insert(dsn: str, size: int) -> None:
    with psycopg.connect(dsn) as conn:
        for flow in diamonds(size // 4):
            flow.insert(conn)
