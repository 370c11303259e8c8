"""The dashboard over a million workflows, and over one of a thousand steps: the cost of a page for the server."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import psycopg
import pytest

from baton_dsl import web
from baton_dsl.runtime.database import Database, read_sync
from baton_dsl.runtime.workflow import Workflow
from baton_dsl.web.lists import PAGE, Filter, page
from tests.web.asking import ask
from tests.web.conftest import serving
from tests.web.steps import shop, wide

MANY: str = """
INSERT INTO baton_workflows (
    workflow_id, workflow_label, flow_name, inputs, unsettled, cancelled, discarded, outcome, inserted_at, settled_at,
    paused_at
)
SELECT
    'w-' || lpad(number::text, 8, '0'), 'label ' || number % 1000, 'flow_' || number % 20, '{}', (outcome IS NULL)::int,
    coalesce((outcome = 'cancelled')::int, 0), coalesce((outcome = 'discarded')::int, 0), outcome, at,
    CASE WHEN outcome IS NOT NULL THEN at + interval '1 minute' END,
    CASE WHEN outcome IS NULL AND number % 3 = 0 THEN at END
FROM (
    SELECT number, now() - (%(count)s - number) * interval '1 second' AS at,
        CASE
            WHEN number %% 500 = 1 THEN NULL
            WHEN number %% 100 = 2 THEN 'cancelled'
            WHEN number %% 100 = 3 THEN 'discarded'
            ELSE 'completed'
        END AS outcome
    FROM generate_series(1, %(count)s) AS number
) AS made
""".replace("number % ", "number %% ")
STEPS = """
INSERT INTO workflow_nodes (
    oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
    ignore_cancelled, ignore_discarded, outcome
)
SELECT row_number() OVER (), workflow_id, workflow_label, 'step_' || number, 'app.Worker', '{}', '{}', '{}', 0, false,
    false, outcome
FROM baton_workflows CROSS JOIN generate_series(1, 3) AS number
WHERE workflow_id > 'w-' || lpad((%(count)s - 5000)::text, 8, '0') OR outcome IS NULL
"""
JOBS = """
INSERT INTO oban_jobs (id, state, queue, worker, args, meta, max_attempts, attempt, inserted_at, scheduled_at)
OVERRIDING SYSTEM VALUE
SELECT oban_job_id, 'available', CASE WHEN oban_job_id % 2 = 0 THEN 'default' ELSE 'nobody' END, 'app.Worker', '{}',
    '{}', 20, 0, now(), now()
FROM workflow_nodes WHERE outcome IS NULL
"""


def fill(dsn: str, count: int) -> None:
    """So many workflows, of which the newest, and those that are under way, have steps."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in (MANY, STEPS):
            conn.execute(statement, {"count": count})
        conn.execute(JOBS)
        conn.execute("VACUUM ANALYZE baton_workflows, workflow_nodes, oban_jobs")


async def cost(app: Any, path: str, times: int = 5, **query: str) -> float:
    """The median of the milliseconds that a page takes, from request to HTML, connecting included."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        answer = await ask(app, path, **query)
        taken.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200, answer.text
    return median(taken)


PAGES: list[dict[str, str]] = [
    {},
    *({"standing": standing} for standing in ("running", "stuck", "paused", "completed", "cancelled", "discarded")),
    {"flow": "flow_7"},
    {"label": "label 7"},
    {"flow": "flow_3", "standing": "discarded"},
    {"age": "1h"},
    {"age": "over-7d"},
    {"age": "over-1d", "standing": "stuck"},
    {"q": "w-0001"},
]


@pytest.mark.slow
async def test_a_page_of_the_list_over_a_million_workflows_takes_less_than_100_ms(dsn: str) -> None:
    fill(dsn, 1_000_000)
    app = web.app(dsn)
    costs = {}
    for query in PAGES:
        costs[str(query)] = await cost(app, "/", **query)
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "SELECT inserted_at, workflow_id FROM baton_workflows WHERE workflow_id = 'w-00500000'"
        ).fetchone()
    assert row is not None
    costs["the page in the middle"] = await cost(app, "/", at=row[0].isoformat(), before=row[1])
    print("\n".join(f"{name}: {taken:.0f} ms" for name, taken in costs.items()))
    bound = 100 * patience()
    assert {name: taken for name, taken in costs.items() if taken > bound} == {}


def rows_read(conn: psycopg.Connection[Any]) -> int:
    """How many rows and index entries of workflows the server has read so far."""
    read = [-1]
    while len(read) < 3 or read[-1] != read[-3]:  # sessions that have ended may tell theirs a moment later
        time.sleep(0.05)
        conn.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        row = conn.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int8 FROM pg_stat_all_tables "
            "WHERE relname IN ('baton_workflows', 'workflow_nodes')"
        ).fetchone()
        assert row is not None
        read.append(int(row[0]))
    return read[-1]


def test_what_a_page_of_the_list_reads_does_not_grow_with_the_table(dsn: str) -> None:
    database = Database.configured(dsn=dsn)
    wanted = [
        Filter(),
        Filter(standing="discarded"),
        Filter(flow="flow_7"),
        Filter(label="label 7"),
        Filter(start="w-"),
    ]
    read: list[int] = []
    with psycopg.connect(dsn, autocommit=True) as conn:
        for count in (8_000, 40_000):
            conn.execute("TRUNCATE baton_workflows, workflow_nodes, oban_jobs")
            fill(dsn, count)
            before = rows_read(conn)
            for each in wanted:
                found, _, names = read_sync(database, page(each, None))
                assert found
                assert len(names) == 20
            read.append(rows_read(conn) - before)
    assert read[1] < 2 * read[0]


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_ten_thousand_workflows_are_paged_and_filtered(dsn: str, reader: Any) -> None:
    fill(dsn, 10_000)
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(address)
        assert await page.locator("tbody tr").count() == PAGE
        assert await page.get_by_role("link", name="completed 1,000+").count() == 1
        first = await page.locator("tbody .sub code").first.inner_text()
        assert first == "w-00010000"
        await page.get_by_role("link", name="Older", exact=True).click()
        await page.wait_for_url("**before=*")
        assert await page.locator("tbody .sub code").first.inner_text() == f"w-{10_000 - PAGE:08}"
        await page.get_by_role("group", name="Flow").get_by_role("link", name="flow_3").click()
        await page.wait_for_url("**flow=flow_3*")
        await page.get_by_role("link", name="discarded 100").click()
        await page.wait_for_url("**standing=discarded*")
        assert await page.locator("tbody tr").count() == PAGE
        assert await reader.ailments() == []


def inserted(dsn: str, parts: int) -> Workflow[Any]:
    with psycopg.connect(dsn) as conn:
        return wide(parts).insert(conn)


async def test_the_page_of_a_workflow_of_a_thousand_steps_takes_less_than_200_ms(dsn: str) -> None:
    workflow = inserted(dsn, 998)
    app = web.app(dsn)
    folded = await cost(app, "/workflow", id=workflow.id)
    unfolded = await cost(app, "/workflow", id=workflow.id, fold="no")
    print(f"folded {folded:.0f} ms, unfolded {unfolded:.0f} ms")
    assert folded < 200 * patience()
    assert unfolded < 200 * patience()


async def test_a_workflow_of_many_items_is_explained_when_one_asks(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        workflow = shop.insert(conn, country="de")
        conn.execute(
            "INSERT INTO workflow_nodes (oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, "
            "downstreams, pending, ignore_cancelled, ignore_discarded, map_id, root_id, item_index) "
            "SELECT 1000000 + number, workflow_id, workflow_label, 'orders[' || number || ']', worker, '{}', '{}', "
            "'{}', 0, false, false, oban_job_id, oban_job_id, number "
            "FROM workflow_nodes, generate_series(0, 6000) AS number WHERE step_name = 'orders'"
        )
        conn.execute("UPDATE workflow_nodes SET items = 6001, pending = 6001 WHERE step_name = 'orders'")
    app = web.app(dsn)
    for path in ("/workflow", "/step"):
        page = await ask(app, path, id=workflow.id, step="orders")
        assert (page.status, "Explain what it is waiting for, or why it ended" in page.text) == (200, True)
        explained = await ask(app, path, id=workflow.id, step="orders", why="yes")
        assert (explained.status, "<b>Why:</b>" in explained.text) == (200, True)
        assert "hx-get" not in explained.text  # which would be as expensive every two seconds
    last = await ask(app, "/step", id=workflow.id, step="orders", first="5990")
    assert "orders[6000]" in last.text
    assert "More</a>" not in last.text


def patience() -> float:
    """How much slower this machine is now than an idle one, for which the limits are defined."""
    begun = time.process_time(), time.perf_counter()
    sum(number * number for number in range(300_000))
    used, passed = time.process_time() - begun[0], time.perf_counter() - begun[1]
    return max(passed / used, 1)
