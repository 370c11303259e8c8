"""The server's CPU for an item as a workflow grows, while the tables are in a bad state.

Bad is: autovacuum is off and there are no statistics; or a session holds an old snapshot, so that no dead row can be
removed; or many old steps are in the tables. CPU depends less on other load than time does. `BATON_BENCH_LARGEST=5000`
and `BATON_BENCH_OLD=100000` make it quick.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import uvloop
from oban import Oban

from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row
from tests.integration.modules import mapped

SMALL = 1_000
LARGE = min(20_000, int(os.environ.get("BATON_BENCH_LARGEST", "20000")))
OLD = int(os.environ.get("BATON_BENCH_OLD", "500000"))
"""Old steps, in workflows of ten."""
TABLES = ("oban_jobs", "workflow_nodes", "baton_workflows")

_FILL = """
INSERT INTO baton_workflows (workflow_id, workflow_label, flow_name, inputs, unsettled, outcome, settled_at)
SELECT 'old-' || number, 'old', 'old', '{}', 0, 'completed', now() FROM generate_series(0, OLD / 10 - 1) AS number;
INSERT INTO oban_jobs (state, queue, worker, attempt, attempted_by, attempted_at, completed_at, meta)
SELECT 'completed', 'default', 'baton_dsl.steps.old:old', 1, '{node,gone}', now(), now(), jsonb_build_object(
    'workflow_id', 'old-' || (number / 10), 'workflow_name', 'step-' || (number % 10))
FROM generate_series(0, OLD - 1) AS number;
INSERT INTO workflow_nodes (
    oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
    ignore_cancelled, ignore_discarded, outcome, result
)
SELECT id, meta ->> 'workflow_id', 'old', meta ->> 'workflow_name', worker, '{}', '{}', '{}', 0, false, false,
    'completed', '7'
FROM oban_jobs;
"""

type Insert = Callable[[psycopg.Connection], object]


def run() -> list[Row]:
    """Each kind of work at two sizes, in each condition, which has a database of its own."""
    kinds: tuple[tuple[str, Callable[[int], Insert]], ...] = (
        ("items, max_concurrency=100", lambda size: lambda conn: mapped.crowded.insert(conn, count=size)),
        ("items", lambda size: lambda conn: mapped.summing.insert(conn, count=size)),
        ("items in maps of ten", _maps),
        ("steps that one waits for", lambda size: lambda conn: execution.wide(size)[0].insert(conn)),
    )
    conditions: tuple[tuple[str, Callable[[str], AbstractContextManager[None]]], ...] = (
        ("no vacuum, no statistics", _neglected),
        ("an old snapshot", _with_old_snapshot),
        (f"{OLD:,} old steps", _beside_old_steps),
    )
    rows: list[Row] = []
    with databases.server() as server:
        for condition, prepare in conditions:
            dsn = databases.fresh(server)
            with prepare(dsn):
                spent = uvloop.run(_spent_on(dsn, [insert(size) for _, insert in kinds for size in (SMALL, LARGE)]))
            for number, (kind, _) in enumerate(kinds):
                small, large = spent[2 * number : 2 * number + 2]
                rows.append(
                    Row(
                        work=f"{LARGE:,} {kind}; {condition}",
                        measured=f"{large / LARGE * 1e3:.3f} ms of the server's CPU each",
                        reference=f"at {SMALL:,} {small / SMALL * 1e3:.3f} ms",
                        ratio=large / LARGE / (small / SMALL),
                        goal="1.2",
                    )
                )
    return rows


def _maps(size: int) -> Insert:
    return lambda conn: mapped.summing.insert_many(conn, [{"count": 10}] * (size // 10))


@contextmanager
def _neglected(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for table in TABLES:
            conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
    yield


@contextmanager
def _with_old_snapshot(dsn: str) -> Iterator[None]:
    with _neglected(dsn), psycopg.connect(dsn) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT count(*) FROM workflow_nodes")
        yield


@contextmanager
def _beside_old_steps(dsn: str) -> Iterator[None]:
    with _neglected(dsn), psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(_FILL.replace("OLD", str(OLD)).encode())
        yield


async def _spent_on(dsn: str, inserts: Sequence[Insert]) -> list[float]:
    """Seconds of the server's CPU for the execution of each piece of work, one after the other."""
    spent: list[float] = []
    pool = await Oban.create_pool(dsn)
    async with Oban(pool=pool, queues={"default": execution.LIMIT}) as oban:
        with psycopg.connect(dsn, autocommit=True) as conn:
            for insert in (lambda conn: execution.wide(200)[0].insert(conn), *inserts):
                await oban.pause_queue("default")
                insert(conn)
                before = _so_far(conn)
                await oban.resume_queue("default")
                while conn.execute(_RUNNING).fetchone() == (True,):
                    await asyncio.sleep(0.1)
                spent.append(_so_far(conn) - before)
    await pool.close()
    return spent[1:]


_RUNNING = "SELECT EXISTS (SELECT FROM baton_workflows WHERE outcome IS NULL)"


def _so_far(conn: psycopg.Connection) -> float:
    """Seconds of CPU of the other backends of this database, on a server on this machine."""
    pids = conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()"
    ).fetchall()
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids) / 1e9
