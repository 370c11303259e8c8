"""The database fails at any moment: safe statements are repeated, the worker recovers, and no attempt is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow
from tests.conftest import StartOban, until
from tests.integration.cutting import Proxy, proxy
from tests.integration.modules import steps
from tests.integration.modules.faulty_steps import RUNS, fails_at_first, numbers, runs, squares, total

TIMEOUT = 60
SWIFT = {"interval": 0.02}
"""A stager that does not let a test wait for a second."""


@pytest.fixture(autouse=True)
def swift_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton_dsl.runtime.oban.guard.INTERVAL", 0.05)
    RUNS.clear()


def every_kind() -> Flow[..., Any]:
    """A diamond with a step that fails at first, a plain job, and one that waits for all."""
    flow = Flow("faulty").add("top", runs)
    flow.add("left", runs, deps=["top"]).add("right", fails_at_first, deps=["top"])
    flow.add("plain", steps.ExportWorker.new({}), deps=["top"])
    return flow.add("bottom", runs, deps=["left", "right", "plain"])


def mapped() -> Flow[..., Any]:
    """A map of three items, and what collects it."""
    return Flow("mapped", numbers, squares, total)


ATTEMPTS = {
    "faulty": {"top": 1, "left": 1, "right": 2, "plain": 1, "bottom": 1},
    "mapped": {"numbers": 1, "squares[0]": 1, "squares[1]": 1, "squares[2]": 1, "total": 1},
}


def ended_well(conn: psycopg.Connection[Any], workflow_id: str, flow: str = "faulty") -> None:
    """Check that every step completed in the expected attempts, and ran as often."""
    rows = conn.execute(
        "SELECT step_name, outcome, state::text, attempt FROM workflow_nodes JOIN oban_jobs ON id = oban_job_id "
        "WHERE workflow_id = %s",
        [workflow_id],
    ).fetchall()
    attempts = ATTEMPTS[flow]
    assert {row[0]: row[1:] for row in rows} == {
        name: ("completed", "completed", attempt) for name, attempt in attempts.items()
    }
    ran = {name: count for (of, name), count in RUNS.items() if of == workflow_id}
    assert ran == {name: attempt for name, attempt in attempts.items() if name != "plain"}


def has_ended(conn: psycopg.Connection[Any], workflow_id: str) -> Callable[[], bool]:
    query = "SELECT outcome IS NOT NULL FROM baton_workflows WHERE workflow_id = %s"
    return lambda: conn.execute(query, [workflow_id]).fetchone() == (True,)


@pytest.fixture
async def cut(dsn: str) -> AsyncIterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="baton-") as folder:  # pytest's own is too long for a socket
        async with proxy(dsn, Path(folder)) as made:
            yield made


async def sweep(
    cut: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any], flow: Flow[..., Any], every: int
) -> int:
    """Run workflows, and cut one connection in each, ever later; returns how many were cut."""
    cuts = 0
    async with (
        AsyncConnectionPool[Any](cut.dsn, min_size=2, max_size=4, open=False) as pool,
        start_oban(pool=pool, queues={"default": 4}, stager=SWIFT),
    ):
        position = 0
        while True:
            for is_answer_lost in (False, True):
                workflow = flow.options(workflow_id=f"{position} {is_answer_lost}").insert(conn)
                cut.arm(position, is_answer_lost=is_answer_lost)
                await until(has_ended(conn, workflow.id), TIMEOUT)
                cuts += cut.sent > position
                ended_well(conn, workflow.id, flow.name)
            if cut.sent <= position:
                cut.arm(-1, is_answer_lost=False)
                return cuts
            position += every


@pytest.mark.parametrize("flow", [every_kind, mapped])
async def test_a_connection_may_be_cut_at_any_statement(
    cut: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any], flow: Callable[[], Flow[..., Any]]
) -> None:
    cuts = await sweep(cut, start_oban, conn, flow(), every=5)
    print(f"{cuts} connections cut, one in each workflow")
    assert cuts > 5


async def test_connections_are_cut_all_the_time(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async def cutting() -> None:
        while True:
            await asyncio.sleep(0.05)
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND query NOT LIKE '%baton_guard%' AND random() < 0.3"
            )

    async with start_oban(stager=SWIFT):
        saboteur = asyncio.create_task(cutting())
        workflows = [every_kind().insert(conn) for _ in range(20)]
        for workflow in workflows:
            await until(has_ended(conn, workflow.id), TIMEOUT)
        saboteur.cancel()
        await asyncio.gather(saboteur, return_exceptions=True)
        for workflow in workflows:
            ended_well(conn, workflow.id)


@pytest.mark.parametrize("size", [1, 2])
async def test_a_pool_that_is_full_costs_time_and_no_attempt(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, size: int
) -> None:
    """Other clients take all connections for longer than the worker waits for one."""
    async with (
        AsyncConnectionPool[Any](dsn, min_size=1, max_size=size, timeout=0.05, open=False) as pool,
        start_oban(pool=pool, stager=SWIFT),
    ):
        workflows = [every_kind().insert(conn) for _ in range(10)]
        for _ in range(5):
            taken = []
            with suppress(psycopg.OperationalError):
                taken = [await pool.getconn(timeout=5) for _ in range(size)]
            await asyncio.sleep(0.15)
            for each in taken:
                await pool.putconn(each)
        for workflow in workflows:
            await until(has_ended(conn, workflow.id), TIMEOUT)
            ended_well(conn, workflow.id)


FAILING = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $function$
BEGIN
    IF nextval('failures') <= 4 THEN
        RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'injected';
    END IF;
    RETURN NEW;
END
$function$;
"""
AT = {
    "a settle begins": "BEFORE UPDATE OF outcome ON workflow_nodes FOR EACH ROW",
    "a settle promotes": "BEFORE UPDATE ON oban_jobs FOR EACH ROW WHEN (OLD.state::text = 'suspended')",
    "a settle ends": "BEFORE UPDATE ON baton_workflows FOR EACH ROW",
    "a fetch": "BEFORE UPDATE ON oban_jobs FOR EACH ROW WHEN (OLD.state = 'available' AND NEW.state = 'executing')",
    "an ack": "BEFORE UPDATE ON oban_jobs FOR EACH ROW WHEN (OLD.state = 'executing' AND NEW.state <> 'available')",
}


@pytest.mark.parametrize("moment", AT)
@pytest.mark.parametrize(
    "code", ["40P01", "40001", "55P03", "25006"], ids=["deadlock", "serialization", "lock timeout", "read only"]
)
async def test_what_the_database_takes_back_is_tried_again(
    start_oban: StartOban, conn: psycopg.Connection[Any], moment: str, code: str
) -> None:
    """It fails four times, in a queue without other jobs. Read-only is a standby after a failover."""
    conn.execute(FAILING)
    conn.execute(f"CREATE TRIGGER a_failure {AT[moment]} EXECUTE FUNCTION fail_at_first('{code}')")
    async with start_oban(stager=SWIFT):
        workflow = every_kind().insert(conn)
        await until(has_ended(conn, workflow.id), TIMEOUT)
        await until(lambda: conn.execute("SELECT FROM oban_jobs WHERE state <> 'completed'").fetchone() is None)
        ended_well(conn, workflow.id)


@pytest.mark.slow
@pytest.mark.parametrize("flow", [every_kind, mapped])
async def test_a_connection_may_be_cut_at_each_statement(
    cut: Proxy, start_oban: StartOban, conn: psycopg.Connection[Any], flow: Callable[[], Flow[..., Any]]
) -> None:
    cuts = await sweep(cut, start_oban, conn, flow(), every=1)
    print(f"{cuts} connections cut, one in each workflow")
