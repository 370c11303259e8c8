"""Worker processes are killed at every point in the life of a step: nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

import psycopg
import pytest

from baton_dsl import Workflow
from tests.conftest import until
from tests.crashes import verdict
from tests.crashes.points import OF_A_CALL, Point
from tests.crashes.shapes import Case, Maker, Planned, case, mapped
from tests.crashes.workers import Nursery

TIMEOUT = 60


OF_A_FAILURE = (Point.BEFORE_ACK, Point.AFTER_ACK)


def killed_at(point: Point) -> Case:
    """Two chains that meet; steps that are to be killed after a failure fail first."""
    kind = "fails_at_first" if point in OF_A_FAILURE else "adds"
    plan = {
        "first": Planned(kind=kind, seed=1),
        "left": Planned(upstreams=("first",), seed=2),
        "right": Planned(upstreams=("first",), seed=3, kind="adds_in_a_thread"),
        "last": Planned(upstreams=("left", "right"), seed=4),
    }
    return case(point.name.lower(), plan)


async def test_a_worker_that_is_killed_at_any_point_loses_no_step_and_runs_none_again(
    workers: Nursery, conn: psycopg.Connection[Any]
) -> None:
    """Each point has a separate worker and queue; afterwards other workers finish the rest."""
    cases: dict[str, Case] = {}
    doomed: list[int] = []
    for point in (point for point in Point if point not in OF_A_CALL):
        made = killed_at(point)
        workflow = made.flow.options(workflow_id=point.name).insert(conn)
        queue = point.name.lower()
        conn.execute("UPDATE oban_jobs SET queue = %s WHERE meta ->> 'workflow_id' = %s", [queue, workflow.id])
        cases[workflow.id] = made
        doomed.append(await workers.start(point=point, passes=0 if point in OF_A_FAILURE else 1, queues={queue: 1}))
    await until(lambda: set(doomed) <= workers.deaths.keys(), TIMEOUT)
    assert verdict.unsettled(conn) > 0

    started = time.monotonic()
    await workers.start(queues={point.name.lower(): 4 for point in Point})
    for workflow_id in cases:
        await Workflow.load(workflow_id, dsn=conn.info.dsn).wait(TIMEOUT)
    seconds = time.monotonic() - started
    print(f"{len(doomed)} killed, done after {seconds:.1f} s; to restart: {verdict.delays(conn, workers.deaths)}")
    assert verdict.differences(conn, cases) == []
    assert verdict.run_again(conn) == 0
    assert verdict.run_beside(conn) == 0


PAUSE = """
CREATE TABLE pauses (place text);
CREATE FUNCTION pause_settle() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $function$
BEGIN
    WHILE EXISTS (SELECT FROM pauses WHERE place = TG_TABLE_NAME) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN NEW;
END
$function$;
CREATE TRIGGER pause_settle BEFORE UPDATE OF outcome ON workflow_nodes
FOR EACH ROW WHEN (NEW.outcome = 'completed') EXECUTE FUNCTION pause_settle();
CREATE TRIGGER pause_settle BEFORE UPDATE ON baton_workflows
FOR EACH ROW EXECUTE FUNCTION pause_settle();
"""
"""A settle stops in its midst: at its first update, or at its last one."""
SETTLING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state = 'active' AND query LIKE '%baton_settle%'
"""
"""Of this test's database alone: tests that run beside it on the same server settle too."""


@pytest.mark.parametrize("place", ["workflow_nodes", "baton_workflows"])
@pytest.mark.parametrize("is_committed", [True, False], ids=["and it commits", "and it is rolled back"])
async def test_a_worker_that_is_killed_in_the_middle_of_a_settle_loses_nothing(
    workers: Nursery, conn: psycopg.Connection[Any], place: str, is_committed: bool
) -> None:
    """PostgreSQL finishes the statement though nobody waits for it any more, or it does not."""
    conn.execute(PAUSE)
    conn.execute("INSERT INTO pauses VALUES (%s)", [place])
    made = killed_at(Point.AFTER_SETTLE)
    workflow = made.flow.insert(conn)
    pid = await workers.start(queues={"default": 1})

    def settling() -> tuple[Any, ...] | None:
        return conn.execute(SETTLING).fetchone()

    await until(lambda: settling() is not None, TIMEOUT)
    backend = settling()
    workers.kill(pid)
    await until(lambda: pid in workers.deaths, TIMEOUT)
    if not is_committed:
        conn.execute("SELECT pg_terminate_backend(%s)", backend)
        await until(lambda: settling() is None, TIMEOUT)
    conn.execute("DELETE FROM pauses")
    await until(lambda: settling() is None, TIMEOUT)
    await until(lambda: verdict.unsettled(conn) == (3 if is_committed else 4), TIMEOUT)

    await workers.start()
    await workflow.wait(TIMEOUT)
    assert verdict.differences(conn, {workflow.id: made}) == []
    assert verdict.run_again(conn) == 0
    runs = "SELECT count(*) FROM crash_runs JOIN workflow_nodes ON oban_job_id = job_id WHERE step_name = 'first'"
    assert conn.execute(runs).fetchone() == (1 if is_committed else 2,)


async def test_workers_that_are_killed_at_random_lose_nothing(workers: Nursery, conn: psycopg.Connection[Any]) -> None:
    """A short form of what `make soak` does for minutes."""
    random = Random(7)
    cases = {}
    for number in range(10):
        maker = Maker(random, longest=0.3)
        for position in range(20):
            maker.add(f"n{position}", *(f"n{random.randrange(position)}" for _ in range(min(position, 2))))
        made = mapped(random) if number % 3 == 0 else case("random", maker.plan)
        cases[made.flow.options(workflow_id=f"w{number}").insert(conn).id] = made
    alive = [await workers.start() for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(random.uniform(0.1, 0.4))  # the moment of the kill
        workers.kill(alive.pop(0))
        alive.append(await workers.start())
    for workflow_id in cases:
        await Workflow.load(workflow_id, dsn=conn.info.dsn).wait(TIMEOUT)
    print(f"from kill to restart: {verdict.delays(conn, workers.deaths)}")
    assert verdict.differences(conn, cases) == []
    assert verdict.run_again(conn) == 0
    assert verdict.run_beside(conn) == 0
