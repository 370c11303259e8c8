"""The metrics for Prometheus, and the health checks for an orchestrator."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from oban import telemetry
from prometheus_client import CollectorRegistry, generate_latest

from baton_dsl import metrics
from baton_dsl.errors import MetricsPortError
from baton_dsl.runtime.executing import around
from baton_dsl.runtime.observing.endpoint import served
from baton_dsl.runtime.observing.health import Health
from baton_dsl.runtime.observing.step_log import log_steps
from tests.cli.test_on_a_database import BATON, ROOT, environment, wait_until_ready
from tests.conftest import StartOban, until
from tests.integration.modules import mapped, steps
from tests.integration.modules.logged_steps import failing

TIMEOUT = 60


@pytest.fixture
def registry(dsn: str) -> Iterator[CollectorRegistry]:
    made = CollectorRegistry()
    metrics.install(made, dsn=dsn)
    yield made
    metrics.uninstall()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_a_step_that_skips_itself_is_counted_and_logged_as_skipped(
    start_oban: StartOban, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "baton_dsl.steps")
    log_steps()
    try:
        async with start_oban():
            workflow = await mapped.branching.insert(given=3)
            await workflow.wait(TIMEOUT)
            counted = "baton_step_attempts_total"
            await until(lambda: value(registry, counted, flow="branching", step="large", outcome="skipped") == 1)
    finally:
        telemetry.detach("baton-step-log")
    assert value(registry, counted, flow="branching", step="large", outcome="completed") is None
    (record,) = [it for it in caplog.records if getattr(it, "outcome", None) == "skipped"]
    assert 'step "large" of workflow' in record.getMessage()
    assert " skipped itself in " in record.getMessage()


async def test_attempts_are_counted_by_flow_step_and_outcome_and_by_nothing_that_grows(
    start_oban: StartOban, registry: CollectorRegistry
) -> None:
    async with start_oban():
        for number in range(3):
            workflow = await mapped.summing.options(workflow_name=f"label {number}").insert(count=5)
            await workflow.wait(TIMEOUT)
        failed = await failing.insert()
        await failed.wait(TIMEOUT)
        counted = "baton_step_attempts_total"
        await until(lambda: value(registry, counted, flow="failing", step="fails", outcome="discarded") == 1)
        await until(lambda: value(registry, counted, flow="summing", step="total", outcome="completed") == 3)
    assert value(registry, counted, flow="summing", step="squares", outcome="completed") == 15
    assert value(registry, "baton_step_duration_seconds_count", flow="summing", step="squares") == 15
    assert value(registry, "baton_step_wait_seconds_count", flow="summing", step="squares") == 15
    told = generate_latest(registry).decode()
    assert "label 0" not in told
    assert workflow.id not in told
    assert "squares[" not in told


async def test_what_waits_is_told_of_the_database(
    start_oban: StartOban, registry: CollectorRegistry, conn: psycopg.Connection[Any]
) -> None:
    steps.billing.insert(conn, api_key="x")
    conn.execute("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '1 hour' WHERE state = 'available'")
    conn.execute(
        "INSERT INTO baton_usage (id, workflow_id, step_name, node_name, oban_job_id, attempt, model, input_tokens, "
        "cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost) "
        "VALUES (gen_random_uuid(), 'w', 's', 's', 1, 1, 'm-1', 100, 0, 0, 7, 0, 0.25)"
    )
    queue = conn.execute("SELECT queue FROM oban_jobs WHERE state = 'available'").fetchone()
    assert queue is not None
    oldest = value(registry, "baton_queue_oldest_ready_seconds", queue=queue[0])
    assert oldest is not None
    assert 3600 <= oldest < 3700
    assert value(registry, "baton_queue_jobs", queue=queue[0], state="ready") == 1
    assert value(registry, "baton_workflows_in_flight", flow="billing", standing="running") == 1
    assert value(registry, "baton_usage_cost_last_hour", model="m-1") == 0.25
    assert value(registry, "baton_usage_tokens_last_hour", model="m-1", direction="output") == 7
    assert value(registry, "baton_nodes") == 0
    assert value(registry, "baton_database_up") == 1


def test_a_database_that_does_not_answer_is_told_and_nothing_else_breaks() -> None:
    made = CollectorRegistry()
    metrics.install(made, dsn="postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    try:
        assert value(made, "baton_database_up") == 0
    finally:
        metrics.uninstall()
    assert around.observers == ()
    assert generate_latest(made) == b""


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_a_worker_that_fetches_is_healthy_and_one_whose_loop_is_blocked_is_not(
    start_oban: StartOban, dsn: str
) -> None:
    async def ask(path: str) -> tuple[int, str]:
        return await asyncio.to_thread(get, port, path)

    async with start_oban() as oban:
        health = Health(oban, dsn)
        with served("127.0.0.1", 0, health, lambda _: (b"told\n", "text/plain")) as port:
            assert await ask("/readyz") == (503, "the process is starting or stopping\n")
            assert (await ask("/healthz"))[0] == 200
            async with health.watched():
                assert await ask("/readyz") == (200, "ok\n")
                assert await ask("/healthz") == (200, "ok\n")
                assert await ask("/metrics") == (200, "told\n")
                assert (await ask("/other"))[0] == 404
                health._beaten -= 100
                code, told = get(port, "/healthz")  # the loop stands still
                assert code == 503
                assert told.endswith("a step blocks it\n")
                await until(lambda: health.illness() is None)
                oban._producers["default"]._loop_task.cancel()

                async def is_ill() -> bool:
                    return (await ask("/healthz"))[1] == "jobs are not fetched any more for default\n"

                await until(is_ill)
            health = Health(oban, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
        with (
            served("127.0.0.1", 0, health, lambda _: (b"", "")) as port,
            pytest.raises(MetricsPortError),
            served("127.0.0.1", port, health, lambda _: (b"", "")),
        ):
            pass


def test_a_worker_answers_on_its_port(dsn: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*BATON, "worker", "tests.cli.flows", "--dsn", dsn, "--metrics-port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        wait_until_ready(process)
        deadline = time.monotonic() + TIMEOUT
        while get(port, "/readyz")[0] != 200 and time.monotonic() < deadline:
            pass
        assert get(port, "/readyz") == (200, "ok\n")
        told = get(port, "/metrics")[1]
        assert "baton_nodes 1.0\n" in told
        assert 'baton_queue_slots{queue="mail"} 10.0\n' in told
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()
