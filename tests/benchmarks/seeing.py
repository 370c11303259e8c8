"""What metrics and traces cost: the same execution without any, with each, and with metrics and traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from baton_dsl import metrics, tracing
from tests.benchmarks import databases
from tests.benchmarks.execution import _ours, diamonds
from tests.benchmarks.report import Row, medians, rate

ROUNDS = 5


class _Nowhere(SpanExporter):
    """Takes spans in batches, as a backend's exporter does, and drops them."""

    def export(self, _spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@contextmanager
def watched(*, measures: bool = False, traces: bool = False) -> Iterator[None]:
    """With some of it on."""
    try:
        if measures:
            metrics.install(CollectorRegistry(), database=False)
        if traces:
            provider = TracerProvider()
            provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
            tracing.install(tracer_provider=provider)
        yield
    finally:
        metrics.uninstall()
        tracing.uninstall()


def run() -> list[Row]:
    """Each against none, in turns."""
    flows = diamonds(500)
    size = sum(len(flow.step_names) for flow in flows)
    on = {"metrics": {"measures": True}, "traces": {"traces": True}, "both": {"measures": True, "traces": True}}
    with databases.server() as server:

        def with_(**parts: bool) -> Callable[[], float]:
            def execute() -> float:
                with watched(**parts):
                    return _ours(server, flows)

            return execute

        none, *others = medians(ROUNDS, with_(), *map(partial(lambda parts: with_(**parts)), on.values()))
    return [
        Row(
            work=f"500 diamonds ({size:,} steps) with {name}",
            measured=rate(size / took, "steps/s"),
            reference=f"without {rate(size / none, 'steps/s')}",
            ratio=none / took,
            goal="0.9",
        )
        for name, took in zip(on, others, strict=True)
    ]
