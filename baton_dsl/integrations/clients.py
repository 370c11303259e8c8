"""What the clients of OpenAI and Anthropic have in common: every call goes through `client.post`.

Both are made by one generator. A resource such as `client.messages` takes the client's `post` when it is first asked
for, so a copy of the client with a `post` of its own records all of them, beta ones and helpers for streams too.
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
"""A longer wait than that is not what a provider of models means."""
_TOO_MANY: Final = frozenset({429, 529})
"""Statuses of a server that takes no more requests for now; the second is Anthropic's for an overloaded one."""


def recorded_client(client: Any, context: StepContext, *, provider: str, snooze: bool) -> Any:
    """A copy of a client whose calls are recorded in a step.

    Args:
        client: An instance of `OpenAI`, `AsyncOpenAI`, `Anthropic` or `AsyncAnthropic`, or of a class below one.
        context: The step's.
        provider: What the full name of a model begins with, which the server does not know: `openai` in `openai:gpt-5`.
        snooze: Whether a 429 with `retry-after` ends the attempt, to run again then.
    """
    # Its own retries would wait within the attempt, and keep a place of the queue meanwhile.
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
        """A `post` of a sync client that records."""

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
        """A `post` of an async client that records."""

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
    """One call: its request, and what is known so far of the answer."""

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
            if hides_usage:  # OpenAI tells what a stream has used only if it is asked to
                given = {**given, "body": {**body, "stream_options": {**options, "include_usage": True}}}
        return _Call(recorder, body, given, hides_usage)

    def answered(self, response: Any) -> Any:
        """Record an answer that came at once."""
        told = response
        if not hasattr(told, "usage") and callable(parse := getattr(response, "parse", None)):
            with suppress(Exception):  # `with_raw_response`; what can't be parsed is for the caller to find out
                told = parse()
        if getattr(told, "usage", None) is not None:
            self._record(told)
        self._capture(response=told)
        return response

    def saw(self, event: Any) -> bool:
        """Take in an event of a stream; False if the caller did not ask for it."""
        self.answer.take(event)
        return not (self.hides_usage and getattr(event, "choices", None) == [] and getattr(event, "usage", None))

    def ended(self, error: BaseException | None = None) -> None:
        """Record a stream that has ended, or that nobody reads on."""
        if self.is_over:
            return
        self.is_over = True
        if (told := self.answer.told()) is not None:
            self._record(told)
        if isinstance(error, Exception):
            self.failed(error)
        else:
            self._capture(response=self.answer.plain())

    def failed(self, error: Exception) -> None:
        """Capture an error, and snooze if that is what was asked for.

        Raises:
            StepEnded: If the server says when to come back, and the step is to do so.
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
    """The answer of a stream, as far as it came."""

    text: list[str] = field(default_factory=list)
    whole: Any = None
    usage: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Take in an event: of chat completions, of responses, or of messages."""
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
            told = usage.model_dump(mode="json", warnings=False)
            self.usage |= {name: count for name, count in told.items() if count is not None}

    def told(self) -> Any:
        """What `record_usage` can read; None if the stream has not told what it used."""
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
    """A stream of a client; whatever is not said here is the stream's own."""

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
        """Close it; what came so far is recorded."""
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
        """Close it; what came so far is recorded."""
        await self._stream.close()
        self._call.ended()


def retry_after(error: BaseException) -> timedelta | None:
    """When a server that takes no more requests wants to be asked again; None if it does not say so.

    Args:
        error: What a client raised: something with the `response` of the server.
    """
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) not in _TOO_MANY:
        return None
    headers = getattr(response, "headers", {})
    delay = _delay(headers.get("retry-after-ms"), thousandths=True) or _delay(headers.get("retry-after"))
    return delay if delay is not None and timedelta(0) < delay <= LONGEST_SNOOZE else None


def _delay(told: str | None, *, thousandths: bool = False) -> timedelta | None:
    """How long a header of seconds, or of a date, says to wait."""
    if not told:
        return None
    with suppress(ValueError, OverflowError):
        return timedelta(seconds=float(told) / (1000 if thousandths else 1))
    with suppress(ValueError, OverflowError, TypeError):
        return parsedate_to_datetime(told) - datetime.now(UTC)
    return None
