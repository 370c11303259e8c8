"""In large tables, each hot statement reads only the rows that it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from oban._query import Query

from baton_dsl import Flow
from baton_dsl.runtime.database import reads
from baton_dsl.runtime.executing.gate import Gate
from baton_dsl.runtime.executing.settle import Settler
from baton_dsl.runtime.sql.statements import in_schema
from tests.conftest import TEMPLATE, fresh_database
from tests.integration.modules import mapped, steps

PER_WORKFLOW = 10
LARGE = ["oban_jobs", "workflow_nodes", "baton_workflows"]
MOST_ROWS = 500
"""Rows of the large tables that a statement about one workflow of ten steps may look at."""

FILL = """
INSERT INTO baton_workflows (workflow_id, workflow_label, flow_name, inputs, unsettled, outcome, settled_at)
SELECT 'old-' || number, 'old', 'old', '{}', 0, 'completed', now()
FROM generate_series(0, MANY / 10 - 1) AS number;

INSERT INTO oban_jobs (state, queue, worker, attempt, attempted_by, attempted_at, completed_at, meta)
SELECT 'completed', 'default', 'baton_dsl.steps.old:old', 1, '{node,gone}', now(), now(), jsonb_build_object(
    'workflow_id', 'old-' || (number / 10), 'workflow_name', 'step-' || (number % 10))
FROM generate_series(0, MANY - 1) AS number;

INSERT INTO workflow_nodes (
    oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
    ignore_cancelled, ignore_discarded, outcome, result
)
SELECT id, meta ->> 'workflow_id', 'old', meta ->> 'workflow_name', worker, '{}', '{}', '{}', 0,
    false, false, 'completed', '7'
FROM oban_jobs;
"""


@pytest.fixture(scope="module", params=[100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def full(request: pytest.FixtureRequest, server: str) -> Iterator[psycopg.Connection[Any]]:
    """A session without planner statistics, which planned its statements while the tables were empty."""
    for dsn in fresh_database(server, TEMPLATE):
        with psycopg.connect(dsn, autocommit=True) as conn:
            for table in LARGE:
                conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            conn.execute("SET track_functions = 'none'")
            conn.execute(FILL.replace("MANY", str(request.param)).encode())
            yield conn


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """A fresh session, to count pages."""
    yield from fresh_database(server, TEMPLATE)


type Act = Callable[[psycopg.Connection[Any]], object]


def rows_looked_at(conn: psycopg.Connection[Any], act: Act) -> int:
    """How many rows of the large tables a statement reads; fails if it scans a whole table."""
    scans, rows = _seen(conn)
    act(conn)
    scans_after, rows_after = _seen(conn)
    assert scans_after == scans, "a large table was scanned"
    return rows_after - rows


def _seen(conn: psycopg.Connection[Any]) -> tuple[dict[str, int], int]:
    """Within this transaction, and so without those of others."""
    rows = conn.execute(
        "SELECT relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables "
        "WHERE relname = ANY(%s)",
        [LARGE],
    ).fetchall()
    return {name: scans for name, scans, _ in rows}, sum(count for _, _, count in rows)


def running(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """A workflow of ten steps whose first one runs; the ids of its jobs."""
    flow = Flow("new").add("first", steps.noop)
    for number in range(8):
        flow.add(f"n{number}", steps.noop, deps=["first"])
    flow.add("last", steps.noop, deps=[f"n{number}" for number in range(8)])
    workflow = flow.options(workflow_id="new", workflow_name="fresh").insert(conn)
    query = "SELECT step_name, oban_job_id FROM workflow_nodes WHERE workflow_id = %s"
    ids = dict(conn.execute(query, [workflow.id]).fetchall())
    conn.execute(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = %s WHERE id = %s",
        [["node", str(uuid4())], ids["first"]],
    )
    return ids


class Alone:
    """Stands for Oban and its pool where the runtime's own statements are made."""

    def __init__(self) -> None:
        self._query = self
        self._pool = None
        self._prefix = "public"


def settled(conn: psycopg.Connection[Any], job_id: int, explain: str = "") -> list[Any]:
    statement = explain + Settler(Alone()).statement.as_string(conn)  # type: ignore[arg-type]
    values: list[Any] = [[job_id], [1], ["7"], [None], "[]", False, False]
    return conn.execute(statement.encode(), values).fetchall()


def settle(conn: psycopg.Connection[Any], ids: dict[str, int]) -> object:
    return settled(conn, ids["first"])


def gate(conn: psycopg.Connection[Any], ids: dict[str, int]) -> object:
    statement = Gate(None, "public")._select  # type: ignore[arg-type]
    return conn.execute(statement, {"jobs": [ids["last"]], "known": [], "stamps": [], "most": 10**9}).fetchall()


def fetch(conn: psycopg.Connection[Any], _: dict[str, int]) -> object:
    statement = Query._load_file("fetch_jobs.sql", "public")
    return conn.execute(statement, {"queue": "default", "demand": 5, "attempted_by": ["node", "u"]}).fetchall()


def read(name: str, **parameters: Any) -> Callable[[psycopg.Connection[Any], dict[str, int]], object]:
    def act(conn: psycopg.Connection[Any], _: dict[str, int]) -> object:
        statement = in_schema(getattr(reads, name), "public")
        return conn.execute(statement, {"workflow_id": "new", **parameters}).fetchall()

    return act


def run(statement: str) -> Callable[[psycopg.Connection[Any], dict[str, int]], object]:
    def act(conn: psycopg.Connection[Any], ids: dict[str, int]) -> object:
        return conn.execute(statement, ids)

    return act


ABOUT_ONE = {
    "settle": settle,
    "gate": gate,
    "fetch": fetch,
    "park": run("SELECT baton_park(ARRAY[%(first)s::int8], ARRAY[1::int2])"),
    "rescue": run("SELECT baton_rescue('0 s'), baton_rescue('0 s')"),
    "a job is discarded, and all that waits for it cancelled": run(
        "UPDATE oban_jobs SET state = 'discarded' WHERE id = %(first)s"
    ),
    "a job is returned": run("UPDATE oban_jobs SET state = 'available' WHERE id = %(first)s"),
    "a job is deleted": run("DELETE FROM oban_jobs WHERE id = %(n0)s"),
    "cancel": run("SELECT baton_stop(ARRAY['new'])"),
    "pause and resume": run("SELECT baton_pause(ARRAY['new']), baton_resume(ARRAY['new'])"),
    "retry": run("SELECT baton_stop(ARRAY['new']), baton_retry(ARRAY['new'])"),
    "status": read("WORKFLOW"),
    "counts": read("COUNTS"),
    "nodes": read("NODES"),
    "result": read("RESULT", step_name="first"),
    "results": read("RESULTS"),
    "workflows of a label": run("SELECT * FROM baton_workflows WHERE workflow_label = 'fresh' ORDER BY inserted_at"),
}


def looked_at(conn: psycopg.Connection[Any], name: str) -> int:
    """Five times in one session, because a cached plan is what counts."""
    counted = 0
    for _ in range(6):
        with conn.transaction(force_rollback=True):
            ids = running(conn)
            counted = rows_looked_at(conn, lambda each, ids=ids: ABOUT_ONE[name](each, ids))
    return counted


def test_no_statement_about_one_workflow_looks_at_others_with_or_without_statistics(
    full: psycopg.Connection[Any],
) -> None:
    without = {name: looked_at(full, name) for name in ABOUT_ONE}
    full.execute("ANALYZE")
    analyzed = {name: looked_at(full, name) for name in ABOUT_ONE}
    print({name: (without[name], analyzed[name]) for name in ABOUT_ONE})
    assert {name: count for name, count in (without | analyzed).items() if count > MOST_ROWS} == {}
    assert {name: count for name, count in without.items() if count > MOST_ROWS} == {}


def test_a_prune_looks_only_at_what_it_removes(full: psycopg.Connection[Any]) -> None:
    with full.transaction(force_rollback=True):
        full.execute("UPDATE baton_workflows SET settled_at = now() - interval '1 day' WHERE workflow_id < 'old-101'")
        row = full.execute("SELECT count(*) FROM baton_workflows WHERE settled_at < now()").fetchone()
        assert row is not None
        old = row[0]
        count = rows_looked_at(full, lambda conn: conn.execute("SELECT baton_prune(%s, 1000)", [timedelta(hours=1)]))
        assert 0 < count < 10 * old * PER_WORKFLOW


def buffers(conn: psycopg.Connection[Any]) -> int:
    """The pages that a settle touches, including those of indexes."""
    with conn.transaction(force_rollback=True):
        ids = running(conn)
        settled(conn, ids["first"])  # the first one of a session reads catalogues too
        ((plans,),) = settled(conn, ids["n0"], "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ")
    plan = plans[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_the_cost_of_a_settle_does_not_grow_with_the_number_of_old_workflows(
    full: psycopg.Connection[Any], conn: psycopg.Connection[Any]
) -> None:
    """Except for a level or two of an index."""
    small, large = min(buffers(conn) for _ in range(3)), min(buffers(full) for _ in range(3))
    print(f"pages of a settle: {small} in an empty database, {large} beside many old steps")
    assert large < 2 * small + 30


# --- maps with a window ---------------------------------------------------------------------------------------------

ITEMS = 4_000
WINDOW = 100


class Crowd:
    """A map of many items, of which `WINDOW` may run at once, in a session that behaves like a worker's."""

    def __init__(self, conn: psycopg.Connection[Any], *, analyzed: bool) -> None:
        self.conn = conn
        for table in LARGE:
            conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        mapped.crowded.insert(conn, count=ITEMS)
        (source,) = self.column("SELECT id FROM oban_jobs WHERE state = 'available'")
        self.settle([source], json.dumps(list(range(ITEMS))))
        if analyzed:
            conn.execute("ANALYZE")

    def column(self, query: str) -> list[Any]:
        return [value for (value,) in self.conn.execute(query).fetchall()]

    def settle(self, job_ids: list[int], result: str, explain: str = "") -> Any:
        statement = explain + Settler(Alone()).statement.as_string(self.conn)  # type: ignore[arg-type]
        values: list[Any] = [
            job_ids,
            [1] * len(job_ids),
            [result] * len(job_ids),
            [None] * len(job_ids),
            "[]",
            False,
            False,
        ]
        return self.conn.execute(statement.encode(), values).fetchall()

    def is_held_back(self, holder: psycopg.Connection[Any]) -> bool:
        """True while somebody besides `holder`, such as an autovacuum's ANALYZE, has a snapshot in this database.

        No dead row can be removed then, and a settle touches a quarter more pages, as with an old snapshot.
        """
        query = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> ALL(%s) AND backend_xmin IS NOT NULL)"
        )
        row = self.conn.execute(query, [[self.conn.info.backend_pid, holder.info.backend_pid]]).fetchone()
        return row == (True,)

    def pages(self) -> int:
        """The pages touched when all running items settle and as many others start."""
        running = self.column("SELECT oban_job_id FROM workflow_nodes WHERE NOT held AND outcome IS NULL")
        assert len(running) == WINDOW
        ((plans,),) = self.settle(running, "1", "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ")
        return int(plans[0]["Plan"]["Shared Hit Blocks"] + plans[0]["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("session", ["fresh statistics", "no statistics", "an old snapshot"])
def test_the_next_items_of_a_window_are_found_without_a_look_at_those_before_or_behind(
    dsn: str, conn: psycopg.Connection[Any], session: str
) -> None:
    crowd = Crowd(conn, analyzed=session == "fresh statistics")
    with psycopg.connect(dsn) as holder:
        if session == "an old snapshot":  # what has died since can't be cleared away
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT count(*) FROM workflow_nodes")
        pages = [crowd.pages() for _ in range(ITEMS // WINDOW - 2) if not crowd.is_held_back(holder)]
    first, last = min(pages[1:6]), min(pages[-5:])
    print(f"pages of a settle in a window of {WINDOW}, {session}: {first} at first, {last} at last")
    assert max(first, last) < 50 * WINDOW
    # an old snapshot leaves each version of the one row of the map, which every settle changes
    assert last < 1.2 * first + (10 * len(pages) if session == "an old snapshot" else 0)
