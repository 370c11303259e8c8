"""Real worker processes: plain `oban start` alone, several at once, and one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from baton_dsl import Flow, Workflow
from tests.conftest import until
from tests.integration.modules import steps
from tests.integration.test_hands import nodes

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 60


@contextmanager
def oban_start(dsn: str, *queues: str) -> Iterator[subprocess.Popen[bytes]]:
    """Oban's own command, which knows nothing of us."""
    command = [sys.executable, "-m", "oban", "start", "--dsn", dsn, "--queues", ",".join(queues)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Its log goes nowhere: a pipe that nobody reads would fill up and hold the process.
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=TIMEOUT)


async def test_oban_start_alone_executes_a_flow(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = steps.billing.insert(conn, api_key="k")
    with oban_start(dsn, "default:5", "auth:1") as process:
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert process.returncode == 0
    assert workflow.sync.result(steps.report) == "[('eu', 5), ('us', 5)] k/3"


async def test_two_processes_share_the_steps_of_many_workflows_and_run_none_twice(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    flow = Flow("diamond").add("top", steps.number.bind(value=1))
    flow.add("left", steps.add_upstreams, deps=["top"]).add("right", steps.add_upstreams, deps=["top"])
    flow.add("bottom", steps.add_upstreams, deps=["left", "right"])
    workflows: list[Workflow[Any]] = []

    async def have_both_run_some() -> bool:
        """On a busy machine, one process may finish before the other one starts."""
        more = [flow.insert(conn) for _ in range(100)]
        for workflow in more:
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        workflows.extend(more)
        return conn.execute("SELECT count(DISTINCT attempted_by[1]) FROM oban_jobs").fetchone() == (2,)

    with oban_start(dsn, "default:8"), oban_start(dsn, "default:8"):
        await until(lambda: conn.execute("SELECT count(*) FROM oban_producers").fetchone() == (2,), TIMEOUT)
        await until(have_both_run_some, TIMEOUT)
    assert {workflow.sync.result("bottom") for workflow in workflows[::20]} == {5}
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    assert conn.execute("SELECT sum(pending) FROM workflow_nodes").fetchone() == (0,)


async def test_a_step_whose_worker_is_killed_runs_again_once_oban_rescues_it(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    workflow = Flow("killed").add("first", steps.noop).add("held", steps.holds_until_told, deps=["first"]).insert(conn)
    with oban_start(dsn, "default:2") as process:
        await until(lambda: nodes(conn)["held"][0] == "executing", TIMEOUT)
        process.kill()
        process.wait()
    conn.execute("UPDATE oban_jobs SET state = 'available' WHERE state = 'executing'")  # as Oban's lifeline does
    conn.execute("CREATE TABLE told ()")
    with oban_start(dsn, "default:2"):
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert workflow.sync.result("held") == 2
