"""Steps that trace. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from baton_dsl import Each, Flow, Input, step, tracing


def own(name: str) -> str:
    """A span of the application's own; gives the id of the one that is current around it."""
    around = trace.get_current_span()
    with trace.get_tracer("shop", tracer_provider=PROVIDER).start_as_current_span(name):
        return f"{around.get_span_context().span_id:016x}"


PROVIDER = TracerProvider()


@step
def numbers(count: Input[int]) -> list[int]:
    own("own numbers")
    return list(range(count))


@step
async def doubles(numbers: Each[int]) -> str:
    await asyncio.sleep(0)
    before = own(f"own doubles {numbers}")
    await asyncio.sleep(0.001)
    assert own(f"own again {numbers}") == before
    return before


@step
def triples(numbers: Each[int]) -> str:
    return own(f"own triples {numbers}")


@step
def ends(doubles: list[str], triples: list[str]) -> int:
    return len(set(doubles + triples))


traced = Flow("traced", numbers, doubles, triples, ends)


@step(max_attempts=2, backoff=0)
def fails() -> None:
    raise RuntimeError("no stock")


@step
def after(fails: None) -> None:
    """Never runs."""


failing = Flow("failing", fails, after)


class ToFile(SpanExporter):
    """Writes what a test in another process reads."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ["TRACED_TO"], "a", encoding="utf-8") as file:  # noqa: PTH123
            for span in spans:
                file.write(json.dumps(json.loads(span.to_json())).replace("\n", " ") + "\n")
        return SpanExportResult.SUCCESS


if "TRACED_TO" in os.environ:  # this is a worker of its own
    PROVIDER.add_span_processor(SimpleSpanProcessor(ToFile()))
    tracing.install(tracer_provider=PROVIDER)
