"""What an item costs as a workflow grows: time, and pages that the database touches, which no other load changes.

Maps with a window and without, as one step's result makes them; a long chain; a wide fan-in.
`BATON_BENCH_LARGEST=20000` leaves out what is larger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import psycopg
import uvloop

from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row
from tests.integration import mapped

SIZES = (1_000, 20_000, 100_000)
CHAINS = (1_000, 10_000)
LARGEST = int(os.environ.get("BATON_BENCH_LARGEST", "100000"))

type Insert = Callable[[psycopg.Connection], object]


def run() -> list[Row]:
    """Each size against the smallest one of its kind, once."""
    rows: list[Row] = []
    with databases.server() as server:
        _, base = _measured(server, lambda _: None)
        kinds: tuple[tuple[str, tuple[int, ...], Callable[[int], Insert]], ...] = (
            ("items, max_concurrency=100", SIZES, _windowed),
            ("items", SIZES, _whole),
            ("steps after each other", CHAINS, _chain),
            ("steps that one waits for", (SIZES[0], SIZES[-1]), _wide),
        )
        for name, sizes, insert in kinds:
            smallest: tuple[float, float] | None = None
            for size in sizes:
                if size > LARGEST:
                    continue
                seconds, pages = _measured(server, insert(size))
                each = seconds / size * 1e3, (pages - base) / size
                smallest = smallest or each
                rows.append(
                    Row(
                        work=f"{size:,} {name}",
                        measured=f"{each[0]:.3f} ms and {each[1]:.0f} pages each, {seconds:.1f} s",
                        reference=f"at {sizes[0]:,} {smallest[0]:.3f} ms and {smallest[1]:.0f} pages",
                        ratio=each[1] / smallest[1],
                        goal="pages 1.2",
                    )
                )
    return rows


def _windowed(size: int) -> Insert:
    return lambda conn: mapped.crowded.insert(conn, count=size)


def _whole(size: int) -> Insert:
    return lambda conn: mapped.summing.insert(conn, count=size)


def _chain(size: int) -> Insert:
    return lambda conn: execution.chain(size)[0].insert(conn)


def _wide(size: int) -> Insert:
    return lambda conn: execution.wide(size)[0].insert(conn)


def _measured(server: str, insert: Insert) -> tuple[float, float]:
    """Seconds of the execution; pages that the database touched, the insert and what warms up included."""
    dsn = databases.fresh(server)

    def connected(dsn: str, work: Insert) -> None:
        with psycopg.connect(dsn) as conn:
            work(conn)

    warm_up = partial(connected, work=lambda conn: execution.wide(50)[0].insert(conn))
    before = _pages(dsn)
    seconds = uvloop.run(execution.execute(dsn, warm_up, partial(connected, work=insert)))
    return seconds, _pages(dsn) - before


def _pages(dsn: str) -> float:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_stat_force_next_flush()")
        query = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
        row = conn.execute(query).fetchone()
        assert row is not None
        return float(row[0])
