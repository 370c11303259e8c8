"""A process dies after each stored call within a step: no call is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.conftest import until
from tests.crashes.once_steps import pays_thrice, pays_twice
from tests.crashes.points import Point
from tests.crashes.workers import Nursery


async def test_no_stored_call_is_made_again_whenever_the_process_dies(
    workers: Nursery, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    workflow = Flow("once", pays_thrice).insert(conn, folder=str(tmp_path))
    for deaths in range(1, 4):
        await workers.start(queues={"default": 1})
        await until(lambda expected=deaths: len(workers.deaths) >= expected, 60)
    await workers.start(queues={"default": 1})
    await workflow.wait(60)
    assert await workflow.result("pays_thrice") == [0, 10, 20]
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2"]
    assert conn.execute("SELECT count(*) FROM baton_checkpoints").fetchone() == (0,)


@pytest.mark.slow
async def test_only_a_call_whose_result_was_not_stored_is_made_again_wherever_the_process_dies(
    workers: Nursery, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    calls = {
        Point.BEFORE_STORE: "0 1 1",  # between the answer and its commit
        Point.AFTER_STORE: "0 1",
        Point.BEFORE_SETTLE: "0 1",
        Point.AFTER_SETTLE: "0 1",
    }
    workflows = []
    doomed = []
    for point in calls:
        queue = point.name.lower()
        (folder := tmp_path / queue).mkdir()
        workflow = Flow("once", pays_twice).insert(conn, folder=str(folder))
        conn.execute("UPDATE oban_jobs SET queue = %s WHERE meta ->> 'workflow_id' = %s", [queue, workflow.id])
        workflows.append(workflow)
        passes = 1 if point in (Point.BEFORE_STORE, Point.AFTER_STORE) else 0
        doomed.append(await workers.start(point=point, passes=passes, queues={queue: 1}))
    await until(lambda: set(doomed) <= workers.deaths.keys(), 60)
    await workers.start(queues={point.name.lower(): 1 for point in calls})
    for workflow in workflows:
        await workflow.wait(60)
        assert await workflow.result("pays_twice") == [0, 10]
    made = {point: " ".join((tmp_path / point.name.lower() / "calls").read_text().split()) for point in calls}
    assert made == calls
    assert conn.execute("SELECT count(*) FROM baton_checkpoints").fetchone() == (0,)
