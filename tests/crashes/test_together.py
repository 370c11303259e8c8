"""Two and four processes on one database: no promotion is lost, nothing runs twice, a deadlock is tried again."""

from __future__ import annotations

from random import Random
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from tests.conftest import until
from tests.crashes import verdict
from tests.crashes.shapes import any_graph, fan, mapped
from tests.crashes.workers import Nursery
from tests.integration.modules import steps

TIMEOUT = 120
ROUNDS = 200
SLOW = pytest.mark.slow


def nothing_failed(conn: psycopg.Connection[Any]) -> None:
    """No attempt was lost to the database, and each settle was counted once."""
    failed = "SELECT errors FROM oban_jobs WHERE errors::text ILIKE ANY (ARRAY['%deadlock%', '%lock timeout%']) LIMIT 1"
    assert conn.execute(failed).fetchone() is None
    assert conn.execute("SELECT count(*) FROM workflow_nodes WHERE pending < 0").fetchone() == (0,)
    row = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    print(f"deadlocks, each tried again: {row[0] if row else None}")


async def test_two_processes_settle_the_last_two_upstreams_again_and_again(
    workers: Nursery, conn: psycopg.Connection[Any]
) -> None:
    """Each process serves one side; the two race for every join."""
    flow = Flow("joins")
    for number in range(ROUNDS):
        flow.add(f"left{number}", steps.number.bind(value=1)).add(f"right{number}", steps.number.bind(value=2))
        flow.add(f"join{number}", steps.add_upstreams, deps=[f"left{number}", f"right{number}"])
    workflow = flow.insert(conn)
    conn.execute(
        "UPDATE oban_jobs SET queue = CASE WHEN meta ->> 'workflow_name' LIKE 'left%' OR id % 2 = 0 "
        "AND meta ->> 'workflow_name' LIKE 'join%' THEN 'one' ELSE 'two' END"
    )
    for queue in ("one", "two"):
        await workers.start(queues={queue: 5})
    await workflow.wait(TIMEOUT)
    results = await workflow.results()
    assert {results[f"join{number}"] for number in range(ROUNDS)} == {4}
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    nothing_failed(conn)


@pytest.mark.parametrize("workflows", [30, pytest.param(200, marks=SLOW)])
async def test_four_processes_share_many_workflows(
    workers: Nursery, conn: psycopg.Connection[Any], workflows: int
) -> None:
    random = Random(11)
    cases = {}
    for number in range(workflows):
        case = random.choice([any_graph, fan, mapped])(random)
        cases[case.flow.options(workflow_id=f"w{number}").insert(conn).id] = case
    for _ in range(4):
        await workers.start()
    await until(lambda: verdict.running(conn) == 0, TIMEOUT)
    assert verdict.differences(conn, cases) == []
    assert verdict.run_again(conn) == 0
    assert verdict.run_beside(conn) == 0
    twice = "SELECT job_id FROM crash_runs GROUP BY job_id, attempt HAVING count(*) > 1"
    snoozed = "SELECT id FROM oban_jobs WHERE meta ? 'snoozed'"  # Oban gives them their attempt back
    assert conn.execute(f"{twice} EXCEPT {snoozed}").fetchall() == []
    nothing_failed(conn)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("wide", [1_000, pytest.param(10_000, marks=SLOW)])
async def test_a_step_with_thousands_of_upstreams_is_promoted_once(
    workers: Nursery, conn: psycopg.Connection[Any], processes: int, wide: int
) -> None:
    """All of them count down the same row."""
    flow = Flow("wide")
    for number in range(wide):
        flow.add(f"n{number}", steps.number.bind(value=1))
    workflow = flow.add("last", steps.add_upstreams, deps=[f"n{number}" for number in range(wide)]).insert(conn)
    for _ in range(processes):
        await workers.start(queues={"default": 50})
    await Workflow.load(workflow.id, dsn=conn.info.dsn).wait(TIMEOUT)
    assert await workflow.result("last") == wide + 1
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    nothing_failed(conn)
