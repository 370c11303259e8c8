"""Spans of inserts and attempts: their names, parents, links, attributes and errors, in one process and in two."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from baton_dsl import tracing
from baton_dsl.runtime.executing import around
from tests.cli.test_on_a_database import BATON, ROOT, environment, wait_until_ready
from tests.conftest import StartOban, until
from tests.integration.modules import mapped
from tests.integration.modules.traced_steps import PROVIDER, failing, traced

TIMEOUT = 60


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that this process exports."""
    exporter = InMemorySpanExporter()
    PROVIDER._active_span_processor._span_processors = (SimpleSpanProcessor(exporter),)
    tracing.install(tracer_provider=PROVIDER)
    yield exporter
    tracing.uninstall()


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


async def test_hundreds_of_steps_at_once_are_in_one_trace_and_none_sees_the_span_of_another(
    start_oban: StartOban, spans: InMemorySpanExporter
) -> None:
    async with start_oban(queues={"default": 100}):
        with PROVIDER.get_tracer("web").start_as_current_span("POST /orders") as request:
            workflow = await traced.insert(count=120)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        results = await workflow.results()
    found = by_name(spans)
    (sent,) = found["send traced"]
    assert sent.parent is not None
    assert sent.parent.span_id == request.get_span_context().span_id
    assert {span.context.trace_id for span in spans.get_finished_spans() if span.context} == {sent.context.trace_id}
    items = found["process doubles"] + found["process triples"]
    assert len(items) == 240
    for span in [*items, *found["process numbers"], *found["process ends"]]:
        assert span.kind is SpanKind.CONSUMER
        assert span.parent is not None
        assert span.parent.span_id == sent.context.span_id
    own = {span.name: span for span in spans.get_finished_spans() if span.name.startswith("own")}
    for span in items:  # what its own code has traced is below it, and it alone
        assert span.attributes is not None
        (index,) = span.attributes["baton.item"]
        step = span.attributes["baton.step"]
        assert own[f"own {step} {index}"].parent.span_id == span.context.span_id
        assert results[step][index] == f"{span.context.span_id:016x}"
    assert results["ends"] == 240
    (numbers,) = found["process numbers"]
    assert {link.context.span_id for span in items for link in span.links} == {numbers.context.span_id}
    (last,) = found["process ends"]
    assert {link.context.span_id for link in last.links} <= {span.context.span_id for span in items}
    assert len(last.links) == around.LINKS


async def test_spans_say_what_they_are_about_by_the_conventions(
    start_oban: StartOban, spans: InMemorySpanExporter
) -> None:
    async with start_oban(node="one"):
        workflow = await traced.options(workflow_name="mine").insert(count=1)
        await workflow.wait(TIMEOUT)
    found = by_name(spans)
    assert dict(found["send traced"][0].attributes or {}) == {
        "messaging.system": "baton",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "traced",
        "messaging.message.id": workflow.id,
        "messaging.message.conversation_id": workflow.id,
        "baton.flow": "traced",
        "baton.steps": 4,
        "baton.workflow.id": workflow.id,
        "baton.workflow.label": "mine",
    }
    assert found["send traced"][0].kind is SpanKind.PRODUCER
    told = dict(found["process doubles"][0].attributes or {})
    assert told.pop("messaging.message.id").isdecimal()
    assert told.pop("baton.queue_time") >= 0
    assert told == {
        "messaging.system": "baton",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.conversation_id": workflow.id,
        "messaging.client.id": "one",
        "baton.flow": "traced",
        "baton.workflow.id": workflow.id,
        "baton.workflow.label": "mine",
        "baton.step": "doubles",
        "baton.item": (0,),
        "baton.attempt": 1,
        "baton.max_attempts": 20,
        "baton.outcome": "completed",
    }


async def test_each_attempt_that_fails_is_a_span_with_its_error(
    start_oban: StartOban, spans: InMemorySpanExporter
) -> None:
    async with start_oban():
        workflow = await failing.insert()
        await workflow.wait(TIMEOUT)
    found = by_name(spans)
    first, second = found["process fails"]
    for span, outcome, attempt in ((first, "failed", 1), (second, "discarded", 2)):
        assert span.attributes is not None
        assert (span.attributes["baton.outcome"], span.attributes["baton.attempt"]) == (outcome, attempt)
        assert span.attributes["error.type"] == "RuntimeError"
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "RuntimeError: no stock")
        assert [event.name for event in span.events] == ["exception"]
    assert "process after" not in found


async def test_a_step_that_skips_itself_has_that_outcome(spans: InMemorySpanExporter, start_oban: StartOban) -> None:
    async with start_oban():
        await (await mapped.branching.insert(given=3)).wait(TIMEOUT)
        await until(lambda: "process large" in by_name(spans), TIMEOUT)
    (span,) = by_name(spans)["process large"]
    assert (span.attributes or {})["baton.outcome"] == "skipped"


async def test_an_insert_that_fails_is_told(spans: InMemorySpanExporter, conn: psycopg.Connection[Any]) -> None:
    again = failing.options(workflow_id="one")
    again.insert(conn)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        conn.execute("ALTER TABLE baton_flows RENAME COLUMN signatures TO others")
        failing.insert(conn)
    one, other = by_name(spans)["send failing"]
    assert one.status.status_code is StatusCode.UNSET
    assert other.status.status_code is StatusCode.ERROR
    assert dict(other.attributes or {})["error.type"] == "UndefinedColumn"


async def test_with_links_only_each_attempt_is_a_trace_of_its_own(
    start_oban: StartOban, spans: InMemorySpanExporter
) -> None:
    tracing.install(tracer_provider=PROVIDER, links_only={"traced"})
    async with start_oban():
        workflow = await traced.insert(count=2)
        await workflow.wait(TIMEOUT)
        other = await failing.insert()
        await other.wait(TIMEOUT)
    found = by_name(spans)
    (sent,) = found["send traced"]
    steps = [
        span for name, each in found.items() if name.startswith("process") and "fails" not in name for span in each
    ]
    assert len({span.context.trace_id for span in steps}) == len(steps) == 6
    for span in steps:
        assert span.parent is None
        assert sent.context.span_id in {link.context.span_id for link in span.links}
    assert found["process fails"][0].parent is not None


async def test_a_trace_goes_through_two_processes(
    dsn: str, spans: InMemorySpanExporter, tmp_path: Path, conn: psycopg.Connection[Any]
) -> None:
    """One process inserts, the other one runs the step."""
    told = tmp_path / "spans"
    with PROVIDER.get_tracer("web").start_as_current_span("POST /orders"):
        workflow = traced.insert(conn, count=3)
    command = [*BATON, "worker", "tests.integration.modules.traced_steps", "--dsn", dsn]
    variables = environment(TRACED_TO=str(told))
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_ready(process)
        assert workflow.sync.wait(TIMEOUT).outcome == "completed"
    finally:
        process.terminate()
        process.communicate(timeout=60)
    theirs = [json.loads(line) for line in told.read_text().splitlines()]
    (sent,) = by_name(spans)["send traced"]
    attempts = [span for span in theirs if span["name"].startswith("process")]
    assert len(attempts) == 8
    for span in attempts:
        assert span["context"]["trace_id"] == f"0x{sent.context.trace_id:032x}"
        assert span["parent_id"] == f"0x{sent.context.span_id:016x}"
    numbers = next(span for span in attempts if span["name"] == "process numbers")
    for span in attempts:
        if span["name"] in ("process doubles", "process triples"):
            assert [link["context"]["span_id"] for link in span["links"]] == [numbers["context"]["span_id"]]


async def test_nothing_is_traced_or_stored_where_tracing_is_off(
    start_oban: StartOban, spans: InMemorySpanExporter, conn: psycopg.Connection[Any]
) -> None:
    tracing.uninstall()
    assert not [it for it in around.observers if type(it).__module__ == tracing.__name__]
    async with start_oban():
        workflow = await traced.insert(count=2)
        await workflow.wait(TIMEOUT)
    assert not any(name.startswith(("process", "send")) for name in by_name(spans))
    assert conn.execute("SELECT count(*) FROM baton_spans").fetchone() == (0,)
    assert conn.execute("SELECT traceparent FROM baton_workflows").fetchone() == (None,)


async def test_steps_run_where_spans_can_not_be_stored(
    start_oban: StartOban, spans: InMemorySpanExporter, conn: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("DROP TABLE baton_spans")
    async with start_oban():
        workflow = await traced.insert(count=1)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert "is not stored, so no span can link to it" in caplog.text
    assert len(by_name(spans)["process ends"]) == 1


def test_whoever_only_inserts_traces_without_oban() -> None:
    code = (
        "import sys; sys.modules['oban'] = None\n"
        "from baton_dsl import tracing\n"
        "tracing.install()\n"
        "assert 'sqlalchemy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
