"""What metrics and traces cost execution, in seconds of CPU of the worker and of the server, whatever else runs.

Three questions. Is nothing slower while neither is on? Then the same execution is run with all of it stubbed out. How
much slower is execution with each of them, and with both? And how much of that is OpenTelemetry's own? A span of its
own SDK, with the same attributes, costs that much whoever makes it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import uvloop
from oban import Oban
from oban.worker import resolve_worker
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry

from baton_dsl import Flow, metrics, tracing
from baton_dsl.runtime.executing import around, worker
from baton_dsl.runtime.lowering import sending
from baton_dsl.runtime.values.names import worker_name
from tests.benchmarks import databases
from tests.benchmarks.execution import LIMIT, chain, diamonds, wide
from tests.benchmarks.report import Row
from tests.integration.modules.steps import noop

ROUNDS = 7


class _Nowhere(SpanExporter):
    """Exports spans in batches, as a backend's exporter does, and drops them."""

    def export(self, _spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@contextmanager
def watched(*, measures: bool = False, traces: bool = False) -> Iterator[None]:
    """With some of it on."""
    provider = TracerProvider()
    try:
        if measures:
            metrics.install(CollectorRegistry(), database=False)
        if traces:
            provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
            tracing.install(tracer_provider=provider)
        yield
    finally:
        metrics.uninstall()
        tracing.uninstall()
        provider.shutdown()


@contextmanager
def stubbed() -> Iterator[None]:
    """Without a look at whether anything is on, neither around an insert nor around an attempt."""

    async def process(_self: object, job: Any) -> Any:
        with worker.Contained(f'step "{noop.name}"'):
            return await worker.run(noop, job)

    nobody = nullcontext(None)
    made = resolve_worker(worker_name(noop))
    with (
        patch.object(made, "process", process),
        patch.object(sending, "observed", lambda _flow, _workflows: nobody),
    ):
        yield


def spent(server: str, flows: list[Flow[..., Any]]) -> float:
    """Seconds of CPU for executing them: of this process, and of the server's processes."""
    return uvloop.run(_executing(databases.fresh(server), flows))


async def _executing(dsn: str, flows: list[Flow[..., Any]]) -> float:
    pool = await Oban.create_pool(dsn)
    try:
        async with Oban(pool=pool, queues={"default": LIMIT}) as oban:
            with psycopg.connect(dsn, autocommit=True) as watch:
                for each in chain(50) + wide(50):
                    await each.insert(watch).wait(timeout=60)
                await oban.pause_queue("default")
                for flow in flows:
                    flow.insert(watch)
                begun = time.process_time() + _of_server(watch)
                await oban.resume_queue("default")
                while _is_running(watch):
                    await asyncio.sleep(0.1)
                return time.process_time() + _of_server(watch) - begun
    finally:
        await pool.close()


def _is_running(conn: psycopg.Connection[Any]) -> bool:
    return conn.execute("SELECT EXISTS (SELECT FROM baton_workflows WHERE outcome IS NULL)").fetchone() == (True,)


def _of_server(conn: psycopg.Connection[Any]) -> float:
    """Seconds of CPU that the server has used so far: its processes, and those of them that have ended."""
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    _, parent, _ = _times(row[0])
    _, _, ended = _times(parent)
    living = [_times(int(process.name)) for process in Path("/proc").iterdir() if process.name.isdigit()]
    return ended + sum(used for used, of, _ in living if of == parent)


def _times(process: int) -> tuple[float, int, float]:
    """Of a process: seconds of CPU, its parent, and the seconds of its children that have ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0.0, 0, 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    own, of_children = (sum(map(int, fields[place : place + 2])) / ticks for place in (11, 13))
    return own, int(fields[1]), of_children


class _Bare:
    """A span of the SDK around each attempt, and nothing else of ours: what nobody who traces can do without."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("bare")

    async def around(self, job: Any, _origin: object, attempt: Any, _link: object) -> Any:
        attributes = {f"baton.attribute.{name}": f"{job.id}" for name in range(14)}
        with self._tracer.start_as_current_span("process", kind=SpanKind.CONSUMER, attributes=attributes) as span:
            value = await attempt()
            span.set_attribute("baton.outcome", "completed")
            return value


@contextmanager
def bare() -> Iterator[None]:
    """With a span of the SDK around each attempt."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    observer = _Bare(provider)
    around.observe(observer)
    try:
        yield
    finally:
        around.forget(observer)
        provider.shutdown()


def least(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The least of several rounds, in turns: whatever else a machine does only adds to the CPU that work takes."""
    measured = [[work() for work in works] for _ in range(rounds)]
    return [min(values) for values in zip(*measured, strict=True)]


def run() -> list[Row]:
    """Measure all variants in turns."""
    flows = diamonds(500)
    size = sum(len(flow.step_names) for flow in flows)
    parts: dict[str, dict[str, bool]] = {
        "metrics": {"measures": True},
        "traces": {"traces": True},
        "metrics and traces": {"measures": True, "traces": True},
    }
    with databases.server() as server:

        def within(around: Callable[[], Any]) -> Callable[[], float]:
            def execute() -> float:
                with around():
                    return spent(server, flows)

            return execute

        works = [within(nullcontext), within(stubbed), within(bare)]
        works += [within(partial(watched, **on)) for on in parts.values()]
        none, without, spans, *others = least(ROUNDS, *works)

    def row(name: str, taken: float, reference: str, against: float, goal: str) -> Row:
        return Row(
            work=f"500 diamonds ({size:,} steps) {name}",
            measured=f"{taken / size * 1e6:,.0f} µs of CPU a step",
            reference=f"{reference} {against / size * 1e6:,.0f} µs",
            ratio=against / taken,
            goal=goal,
        )

    return [
        row("without metrics and traces", none, "with all of it stubbed out", without, "1.0"),
        row("with a bare span of the SDK for each step", spans, "without", none, ""),
        *(row(f"with {name}", taken, "without", none, "0.9") for name, taken in zip(parts, others, strict=True)),
        row("with traces", others[1], "with a bare span of the SDK for each step", spans, "0.9"),
    ]
