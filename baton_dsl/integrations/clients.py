"""Record the calls of clients of OpenAI and Anthropic: in both, every call goes through `client.post`.

The same generator creates both clients. A resource such as `client.messages` reads the client's `post` when it is first
used, so a copy of the client with its own `post` records all resources, including beta ones and helpers for streams.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from inspect import iscoroutinefunction
from typing import Any, Final

from baton_dsl.context import StepContext

LONGEST_SNOOZE: Final = timedelta(days=1)
"""The longest wait that is accepted from a server; a longer one is not plausible."""
_TOO_MANY: Final = frozenset({429, 529})
"""HTTP statuses of a server that accepts no more requests for now; Anthropic sends 529 when it is overloaded."""


def recorded_client(client: Any, context: StepContext, *, provider: str, snooze: bool) -> Any:
    """Copy a client so that its calls are recorded in a step.

    Args:
        client: An instance of `OpenAI`, `AsyncOpenAI`, `Anthropic` or `AsyncAnthropic`, or of a subclass.
        context: The context of the step.
        provider: The first part of a model's full name, which the server does not know: `openai` in `openai:gpt-5`.
        snooze: Whether a 429 with `retry-after` ends the attempt, so that the step runs again after that time.
    """
    # The client's own retries would wait within the attempt, and occupy a slot of the queue meanwhile.
    copy = client.with_options(max_retries=0) if snooze else client.with_options()
    recorder = _Recorder(context, provider, snooze)
    post = copy.post
    copy.post = recorder.around_async(post) if iscoroutinefunction(post) else recorder.around(post)
    return copy


@dataclass(slots=True)
class _Recorder:
    """Records the calls of one client in one step."""

    context: StepContext
    provider: str
    snooze: bool

    def around(self, post: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the `post` of a sync client."""

        def recording(path: str, /, **given: Any) -> Any:
            call = _Call.of(self, path, given)
            try:
                response = post(path, **call.given)
            except Exception as error:
                call.failed(error)
                raise
            return Stream(response, call) if given.get("stream") and _is_stream(response) else call.answered(response)

        return recording

    def around_async(self, post: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the `post` of an async client."""

        async def recording(path: str, /, **given: Any) -> Any:
            call = _Call.of(self, path, given)
            try:
                response = await post(path, **call.given)
            except Exception as error:
                call.failed(error)
                raise
            is_stream = given.get("stream") and _is_stream(response)
            return AsyncStream(response, call) if is_stream else call.answered(response)

        return recording


def _is_stream(response: object) -> bool:
    return hasattr(response, "__aiter__") or hasattr(response, "__iter__")


@dataclass(slots=True)
class _Call:
    """One call: its request, and the answer so far."""

    recorder: _Recorder
    request: Any
    given: dict[str, Any]
    hides_usage: bool
    began: float = field(default_factory=time.monotonic)
    answer: _Answer = field(default_factory=lambda: _Answer())
    is_over: bool = False

    @staticmethod
    def of(recorder: _Recorder, path: str, given: dict[str, Any]) -> _Call:
        body = given.get("body")
        if isinstance(body, Mapping) and isinstance(model := body.get("model"), str):
            body = {**body, "model": model.removeprefix(f"{recorder.provider}:")}
            given = {**given, "body": body}
        hides_usage = False
        if given.get("stream") and path.endswith("/chat/completions") and isinstance(body, Mapping):
            options = body.get("stream_options") or {}
            hides_usage = "include_usage" not in options
            if hides_usage:  # OpenAI sends the usage of a stream only on request
                given = {**given, "body": {**body, "stream_options": {**options, "include_usage": True}}}
        return _Call(recorder, body, given, hides_usage)

    def answered(self, response: Any) -> Any:
        """Record an answer that is not a stream."""
        whole = response
        if not hasattr(whole, "usage") and callable(parse := getattr(response, "parse", None)):
            with suppress(Exception):  # `with_raw_response`; errors of parsing are left to the caller
                whole = parse()
        if getattr(whole, "usage", None) is not None:
            self._record(whole)
        self._capture(response=whole)
        return response

    def saw(self, event: Any) -> bool:
        """Add an event of a stream to the answer. Return False if the caller did not request the event."""
        self.answer.take(event)
        return not (self.hides_usage and getattr(event, "choices", None) == [] and getattr(event, "usage", None))

    def ended(self, error: BaseException | None = None) -> None:
        """Record a stream that has ended or is no longer read."""
        if self.is_over:
            return
        self.is_over = True
        if (whole := self.answer.recordable()) is not None:
            self._record(whole)
        if isinstance(error, Exception):
            self.failed(error)
        else:
            self._capture(response=self.answer.plain())

    def failed(self, error: Exception) -> None:
        """Capture an error, and snooze if the caller wants that.

        Raises:
            StepEnded: If the server says when to retry, and the step should snooze until then.
        """
        context = self.recorder.context
        context.capture(request=self.request, response=self.answer.plain(), error=error, model=self._model)
        if self.recorder.snooze and (delay := retry_after(error)) is not None:
            context.snooze(delay)

    def _record(self, response: Any) -> None:
        latency = timedelta(seconds=time.monotonic() - self.began)
        self.recorder.context.record_usage(response, latency=latency)

    def _capture(self, response: object) -> None:
        self.recorder.context.capture(request=self.request, response=response, model=self._model)

    @property
    def _model(self) -> str | None:
        model = self.request.get("model") if isinstance(self.request, Mapping) else None
        return model if isinstance(model, str) else None


@dataclass(slots=True)
class _Answer:
    """The answer of a stream so far."""

    text: list[str] = field(default_factory=list)
    whole: Any = None
    usage: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Add an event of chat completions, of responses or of messages."""
        kind = getattr(event, "type", None)
        if kind == "message_start":  # Anthropic's
            self._usage_of(event.message)
            self.facts |= {"type": "message", "model": event.message.model}
        elif kind == "message_delta":
            self._usage_of(event)
            self.facts["stop_reason"] = getattr(event.delta, "stop_reason", None)
        elif kind == "content_block_delta":
            self._say(event.delta, "text", "partial_json", "thinking")
        elif isinstance(kind, str) and kind.startswith("response."):  # OpenAI's responses
            if (response := getattr(event, "response", None)) is not None:
                self.whole = response
            if kind.endswith(".delta"):
                self._say(event, "delta")
        elif hasattr(event, "choices"):
            self.facts["model"] = event.model
            self._usage_of(event)
            for choice in event.choices:
                self._say(choice.delta, "content")
                for called in getattr(choice.delta, "tool_calls", None) or ():
                    self._say(called.function, "name", "arguments")

    def _say(self, part: Any, *names: str) -> None:
        self.text += [said for name in names if isinstance(said := getattr(part, name, None), str)]

    def _usage_of(self, part: Any) -> None:
        usage = getattr(part, "usage", None)
        if usage is not None:
            counts = usage.model_dump(mode="json", warnings=False)
            self.usage |= {name: count for name, count in counts.items() if count is not None}

    def recordable(self) -> Any:
        """A value that `record_usage` can read; None if the stream has not sent its usage."""
        if self.whole is not None:
            return self.whole if getattr(self.whole, "usage", None) is not None else None
        return {**self.facts, "usage": self.usage} if self.usage else None

    def plain(self) -> Any:
        """The answer for a capture; None if there is none."""
        if self.whole is not None and getattr(self.whole, "output", None):
            return self.whole
        said = {"text": "".join(self.text), **self.facts} if self.text or self.facts else None
        return {**said, "usage": self.usage} if said and self.usage else said


class _Wrapped:
    """Wraps a stream of a client; all other attributes are those of the stream."""

    def __init__(self, stream: Any, call: _Call) -> None:
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Stream(_Wrapped):
    """A stream of a sync client whose usage is recorded at its end."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                event = next(self)
            except StopIteration:
                return
            yield event

    def __next__(self) -> Any:
        while True:
            try:
                event = next(self._stream)
            except StopIteration:
                self._call.ended()
                raise
            except Exception as error:
                self._call.ended(error)
                raise
            if self._call.saw(event):
                return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream, and record the answer so far."""
        self._stream.close()
        self._call.ended()


class AsyncStream(_Wrapped):
    """A stream of an async client whose usage is recorded at its end."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            try:
                event = await anext(self)
            except StopAsyncIteration:
                return
            yield event

    async def __anext__(self) -> Any:
        while True:
            try:
                event = await anext(self._stream)
            except StopAsyncIteration:
                self._call.ended()
                raise
            except Exception as error:
                self._call.ended(error)
                raise
            if self._call.saw(event):
                return event

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the stream, and record the answer so far."""
        await self._stream.close()
        self._call.ended()


def retry_after(error: BaseException) -> timedelta | None:
    """How long a server that accepts no more requests asks to wait; None if it does not say.

    Args:
        error: The error that a client raised, with the `response` of the server.
    """
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) not in _TOO_MANY:
        return None
    headers = getattr(response, "headers", {})
    delay = _delay(headers.get("retry-after-ms"), thousandths=True) or _delay(headers.get("retry-after"))
    return delay if delay is not None and timedelta(0) < delay <= LONGEST_SNOOZE else None


def _delay(text: str | None, *, thousandths: bool = False) -> timedelta | None:
    """The wait that a header says, in seconds or as a date."""
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        return timedelta(seconds=float(text) / (1000 if thousandths else 1))
    with suppress(ValueError, OverflowError, TypeError):
        return parsedate_to_datetime(text) - datetime.now(UTC)
    return None
