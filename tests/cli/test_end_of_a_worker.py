"""`baton worker` as a process: when it ends, with which exit code, and how it reports the steps that it cut off."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from baton_dsl.runtime.executing.leaving import MOMENT
from tests.cli.stubborn import blocking, hung, stubborn
from tests.cli.test_on_a_database import BATON, ROOT, environment, wait_until_ready
from tests.conftest import until
from tests.proxy import proxy

TIMEOUT = 60
GRACE = 0.5
END = GRACE + MOMENT + 20.0
"""Seconds after SIGTERM by which the process is gone, on a machine that is busy."""


@contextmanager
def worker(dsn: str, *arguments: str, command: tuple[str, ...] = BATON) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*command, "worker", "tests.cli.stubborn", "--dsn", dsn, *arguments],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def until_all_run(conn: psycopg.Connection[Any], count: int) -> None:
    query = "SELECT count(*) FROM oban_jobs WHERE state = 'executing'"
    await until(lambda: conn.execute(query).fetchone() == (count,), TIMEOUT)


def ended(process: subprocess.Popen[str], since: float) -> tuple[float, str]:
    """The seconds until a process has ended, and the rest of its log."""
    _, log = process.communicate(timeout=TIMEOUT)
    return time.monotonic() - since, log


async def test_a_worker_is_gone_after_its_grace_whatever_its_steps_do(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = stubborn.insert(conn)
    with worker(dsn, "--grace", str(GRACE)) as process:
        wait_until_ready(process)
        await until_all_run(conn, 3)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        seconds, log = ended(process, told)
    assert process.returncode == 0, log
    assert GRACE <= seconds < END
    for name in ("sleeps_in_a_thread", "swallows_cancellations", "ends_when_it_is_cancelled"):
        lines = [line for line in log.splitlines() if f'step "{name}" of workflow {workflow.id} was cut off' in line]
        assert len(lines) == 1, log
        assert "in attempt 1" in lines[0]


async def test_all_processes_of_a_worker_are_gone_after_its_grace(dsn: str, conn: psycopg.Connection[Any]) -> None:
    stubborn.insert(conn)
    with worker(dsn, "--grace", str(GRACE), "--processes", "2") as process:
        wait_until_ready(process, nodes=2)
        await until_all_run(conn, 3)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        seconds, log = ended(process, told)
    assert process.returncode == 0, log
    assert GRACE <= seconds < END


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_second_signal_ends_a_worker_at_once(dsn: str, conn: psycopg.Connection[Any], processes: int) -> None:
    stubborn.insert(conn)
    with worker(dsn, "--grace", "300", "--processes", str(processes)) as process:
        wait_until_ready(process, nodes=processes)
        await until_all_run(conn, 3)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        for _ in range(processes):
            while "node stops" not in (line := process.stderr.readline()):
                assert line, "the worker ended"
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        seconds, log = ended(process, told)
    assert process.returncode == 128 + signal.SIGTERM
    assert seconds < END
    assert 'step "sleeps_in_a_thread"' in log


async def test_a_step_that_blocks_the_event_loop_does_not_hold_up_the_end(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    blocking.insert(conn)
    with worker(dsn, "--grace", str(GRACE)) as process:
        wait_until_ready(process)
        await until_all_run(conn, 1)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        seconds, log = ended(process, told)
    assert process.returncode == 0, log
    assert seconds < END
    assert 'step "blocks_the_loop"' in log


FEW = "import baton_dsl.runtime.oban.threads as it; it.MOST_LOST = 3; from baton_dsl.cli.main import main; main()"


async def test_a_worker_that_has_lost_too_many_threads_leaves_to_be_started_again(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    hung.insert(conn)
    with worker(dsn, "--grace", str(GRACE), command=(sys.executable, "-c", FEW)) as process:
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 5, log
    assert 'step "times_out"' in log
    assert "1 thread of this process is lost" in log
    assert "3 threads of this process are lost" in log


async def test_a_database_that_never_answers_does_not_hold_up_the_end(dsn: str, conn: psycopg.Connection[Any]) -> None:
    stubborn.insert(conn)
    with proxy(dsn) as network, worker(network.dsn, "--grace", str(GRACE)) as process:
        wait_until_ready(process)
        await until_all_run(conn, 3)
        assert network.black_hole()
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        seconds, log = ended(process, told)
    assert process.returncode == 0, log
    assert seconds < END
    assert 'step "sleeps_in_a_thread"' in log
