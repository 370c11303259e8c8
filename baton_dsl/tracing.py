"""Trace with OpenTelemetry: a span for each insert and for each attempt of a step, in one trace across processes.

The extra `otel` installs only the API; the application chooses the SDK and the exporter. Call `install` once in each
process: in those that insert, and in a module that `baton worker` imports.

Example:
    ```python
    from baton_dsl import tracing

    tracing.install()
    ```

An insert is a span `send <flow>`, a child of the current span; its `traceparent` is stored with the workflow. Each
attempt is a span `process <step>`, a child of the insert's span in any process, with links to the spans of its
upstreams. Spans and logs of the step's own code belong to the span of its attempt.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import psycopg

from baton_dsl.extras import needed

with needed():
    from opentelemetry import trace
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from baton_dsl.core.items import index_of, step_of
from baton_dsl.runtime.lowering import sending
from baton_dsl.runtime.oban.jobs import SKIPPED
from baton_dsl.version import __version__

if TYPE_CHECKING:
    from oban import Job

    from baton_dsl.runtime.executing.around import Attempt, Origin
    from baton_dsl.runtime.executing.around import Link as Linking
    from baton_dsl.runtime.lowering.lower import Lowered

__all__ = ["install", "uninstall"]

SYSTEM: Final = "baton"
"""The value of the attribute `messaging.system`."""

_EMPTY: Final = Context()
_propagator: Final = TraceContextTextMapPropagator()


def install(*, tracer_provider: TracerProvider | None = None, links_only: bool | Collection[str] = False) -> None:
    """Start to trace the inserts and the steps of this process. Calling it again replaces the earlier settings.

    Args:
        tracer_provider: The provider of the tracer; default: the global one.
        links_only: The names of flows, or True for all, whose attempts each start a new trace with a link to the span
            of the insert, instead of being its children. Use it for workflows that run for weeks, because no backend
            would show such a trace as a whole.
    """
    tracer = trace.get_tracer("baton_dsl", __version__, tracer_provider)
    tracing = _Tracing(tracer, links_only)
    uninstall()
    sending.observe(tracing.sending)
    _observe(tracing)


def uninstall() -> None:
    """Stop tracing."""
    sending.observe(None)
    _observe(None)


_installed: list[_Tracing] = []


def _observe(tracing: _Tracing | None) -> None:
    """Trace attempts, if this process can run any: a process that only inserts need not have Oban installed."""
    try:
        from baton_dsl.runtime.executing import around
    except ImportError:
        return
    while _installed:
        around.forget(_installed.pop())
    if tracing is not None:
        _installed.append(tracing)
        around.observe(tracing)


class _Tracing:
    """The spans of inserts and attempts.

    Args:
        tracer: The tracer that starts the spans.
        links_only: See `install`.
    """

    def __init__(self, tracer: trace.Tracer, links_only: bool | Collection[str]) -> None:
        self._tracer = tracer
        self._links_only = links_only

    # --- inserts -----------------------------------------------------------------------------------------------------

    @contextmanager
    def sending(self, flow: str, workflows: Sequence[Lowered]) -> Iterator[str | None]:
        """Start the span of an insert. Yields its `traceparent`."""
        attributes: dict[str, Any] = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": flow,
            "baton.flow": flow,
            "baton.steps": sum(len(workflow.names) for workflow in workflows),
        }
        if len(workflows) == 1:
            attributes["messaging.message.id"] = workflows[0].workflow_id
            attributes["messaging.message.conversation_id"] = workflows[0].workflow_id
            attributes["baton.workflow.id"] = workflows[0].workflow_id
            attributes["baton.workflow.label"] = workflows[0].label
        else:
            attributes["messaging.batch.message_count"] = len(workflows)
        with self._tracer.start_as_current_span(
            f"send {flow}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _traceparent(span)
            except BaseException as error:
                _fail(span, error)
                raise

    # --- attempts ----------------------------------------------------------------------------------------------------

    async def around(self, job: Job, origin: Origin | None, attempt: Attempt, link: Linking) -> Any:
        """Run an attempt in a span, which is current while the step runs."""
        node = job.meta.get("workflow_name", "")
        step = step_of(node)
        parent, links = self._relations(origin)
        span = self._tracer.start_span(
            f"process {step}",
            context=parent,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=_attributes(job, origin, node, step),
        )
        traceparent = _traceparent(span)
        token = attach(trace.set_span_in_context(span))
        try:
            # The spans of upstreams are read, and this one is stored, while the step runs.
            linking = None if traceparent is None or job.id is None else link(job.id, traceparent)
            try:
                value = await attempt()
            except BaseException as error:
                outcome = "discarded" if job.attempt >= job.max_attempts else "failed"
                span.set_attribute("baton.outcome", "cut off" if isinstance(error, asyncio.CancelledError) else outcome)
                _fail(span, error)
                if linking is not None and not isinstance(error, asyncio.CancelledError):
                    await _link(span, linking)
                raise
            done = "skipped" if SKIPPED in job.extra else "completed"
            span.set_attribute("baton.outcome", _OUTCOMES.get(type(value).__name__, done))
            if linking is not None:
                await _link(span, linking)
            return value
        finally:
            detach(token)
            span.end()

    def _relations(self, origin: Origin | None) -> tuple[Context, list[Link]]:
        """The parent and the first links of an attempt's span. The current context of the process is not its parent."""
        sender = None if origin is None or origin.traceparent is None else _context_of(origin.traceparent)
        if origin is None or sender is None:
            return _EMPTY, []
        if self._links_only is True or (self._links_only and origin.flow in self._links_only):
            return _EMPTY, [Link(sender, {"baton.link": "send"})]
        return trace.set_span_in_context(trace.NonRecordingSpan(sender), _EMPTY), []


async def _link(span: Span, linking: Future[Sequence[str]]) -> None:
    """Link a span to those of its upstreams; if they are not known, a warning has said so."""
    with suppress(psycopg.Error):
        for traceparent in await linking:
            if (upstream := _context_of(traceparent)) is not None:
                span.add_link(upstream)


_OUTCOMES: Final = {"Cancel": "cancelled", "Snooze": "snoozed"}


def _attributes(job: Job, origin: Origin | None, node: str, step: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": str(job.id),
        "messaging.message.conversation_id": job.meta.get("workflow_id", ""),
        "baton.workflow.id": job.meta.get("workflow_id", ""),
        "baton.workflow.label": job.meta.get("workflow_label") or "",
        "baton.step": step,
        "baton.attempt": job.attempt,
        "baton.max_attempts": job.max_attempts,
    }
    if origin is not None:
        attributes["baton.flow"] = origin.flow
    if job.attempted_by:
        attributes["messaging.client.id"] = job.attempted_by[0]
    if (index := index_of(node)) is not None:
        attributes["baton.item"] = list(index)
    if job.attempted_at and job.scheduled_at:
        attributes["baton.queue_time"] = (job.attempted_at - job.scheduled_at).total_seconds()
    return attributes


def _fail(span: Span, error: BaseException) -> None:
    """Record an exception; `error.type` is its class, as the semantic conventions say."""
    from baton_dsl.runtime.values.raised import described

    span.set_attribute("error.type", type(error).__qualname__)
    if isinstance(error, Exception):
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, described(error)))


def _traceparent(span: Span) -> str | None:
    """The `traceparent` of a span (W3C); None for a span that is not valid."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


@lru_cache(maxsize=2048)
def _context_of(traceparent: str) -> trace.SpanContext | None:
    """The span that a header names. Many steps have the same sender, and the same upstreams."""
    found = _propagator.extract({"traceparent": traceparent}, context=Context())
    context = trace.get_current_span(found).get_span_context()
    return context if context.is_valid else None
