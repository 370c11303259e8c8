"""Clients of OpenAI and Anthropic that record what they call, against a server that speaks their wire formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anthropic
import openai
import pytest
from pytest_httpserver import HTTPServer

from baton_dsl.context import StepContext, StepEnded
from baton_dsl.integrations.anthropic import recorded as recorded_anthropic
from baton_dsl.integrations.clients import retry_after
from baton_dsl.integrations.openai import recorded as recorded_openai
from baton_dsl.llm import Usage
from baton_dsl.llm.redaction import without_secrets
from baton_dsl.testing import context
from tests.adapters import wire

ASKED: Any = [{"role": "user", "content": "Say hello"}]


@dataclass
class Journal:
    """What a step recorded."""

    usages: list[Usage] = field(default_factory=list)
    captures: list[tuple[Any, Any, Any, str | None]] = field(default_factory=list)
    inner: Any = field(default_factory=lambda: context().journal)

    def record_usage(self, response: object, **given: Any) -> Usage:
        self.usages.append(self.inner.record_usage(response, **given))
        return self.usages[-1]

    def capture(self, request: object, response: object, error: Any, model: str | None) -> None:
        self.captures.append((without_secrets(request), without_secrets(response), error, model))

    def once(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        raise AssertionError(name)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def ctx(journal: Journal) -> StepContext:
    return replace(context(debug=True), journal=journal)


@pytest.fixture
def sent(httpserver: HTTPServer) -> list[dict[str, Any]]:
    return wire.serve(httpserver)


@pytest.fixture
def sync_openai(httpserver: HTTPServer, ctx: StepContext) -> openai.OpenAI:
    return recorded_openai(openai.OpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test"), ctx)


@pytest.fixture
def async_openai(httpserver: HTTPServer, ctx: StepContext) -> openai.AsyncOpenAI:
    return recorded_openai(openai.AsyncOpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test"), ctx)


@pytest.fixture
def sync_anthropic(httpserver: HTTPServer, ctx: StepContext) -> anthropic.Anthropic:
    return recorded_anthropic(anthropic.Anthropic(base_url=httpserver.url_for(""), api_key="sk-test"), ctx)


@pytest.fixture
def async_anthropic(httpserver: HTTPServer, ctx: StepContext) -> anthropic.AsyncAnthropic:
    return recorded_anthropic(anthropic.AsyncAnthropic(base_url=httpserver.url_for(""), api_key="sk-test"), ctx)


def tell(usage: Usage) -> tuple[Any, ...]:
    assert usage.latency is not None
    assert usage.cost is not None
    assert usage.remark is None
    return usage.model, usage.input, usage.cached, usage.cache_write, usage.output


OF_OPENAI = ("gpt-4o-mini-2024-07-18", 1000, 600, 0, 50)
OF_ANTHROPIC = ("claude-sonnet-4-6", 1000, 600, 100, 50)


def test_calls_of_openai_are_recorded(sync_openai: openai.OpenAI, journal: Journal, sent: list[dict[str, Any]]) -> None:
    chat = sync_openai.chat.completions.create(model="openai:gpt-4o-mini", messages=ASKED)
    assert chat.choices[0].message.content == "Hello there"
    response = sync_openai.responses.create(model="gpt-4o-mini", input="Say hello")
    assert response.output_text == "Hello there"
    raw = sync_openai.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASKED)
    assert raw.parse().choices[0].message.content == "Hello there"
    assert [body["model"] for body in sent] == ["gpt-4o-mini"] * 3
    assert list(map(tell, journal.usages)) == [OF_OPENAI] * 3
    assert [usage.reasoning for usage in journal.usages] == [20] * 3
    request, answer, error, model = journal.captures[0]
    assert (request["messages"], error, model) == (ASKED, None, "gpt-4o-mini")
    assert answer["choices"][0]["message"]["content"] == "Hello there"


async def test_calls_of_an_async_openai_are_recorded(
    async_openai: openai.AsyncOpenAI, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    chat = await async_openai.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
    assert chat.choices[0].message.content == "Hello there"
    await async_openai.responses.create(model="gpt-4o-mini", input="Say hello")
    assert list(map(tell, journal.usages)) == [OF_OPENAI] * 2


def test_streams_of_openai_are_recorded_at_their_end(
    sync_openai: openai.OpenAI, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    seen = []
    with sync_openai.chat.completions.create(model="gpt-4o-mini", messages=ASKED, stream=True) as stream:
        for chunk in stream:
            assert not journal.usages
            seen.append(chunk.choices[0].delta.content)  # the one with the usage, which has no choices, is not given
    assert seen == ["Hello", " there", None]
    assert sent[0]["stream_options"] == {"include_usage": True}
    told = sync_openai.chat.completions.create(
        model="gpt-4o-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    assert [bool(chunk.choices) for chunk in told] == [True, True, True, False]
    list(sync_openai.responses.create(model="gpt-4o-mini", input="Say hello", stream=True))
    with sync_openai.chat.completions.stream(model="gpt-4o-mini", messages=ASKED) as helper:
        final = helper.get_final_completion()
    assert final.choices[0].message.content == "Hello there"
    assert list(map(tell, journal.usages)) == [OF_OPENAI] * 4
    assert journal.captures[0][1]["text"] == "Hello there"
    assert journal.captures[2][1]["output"][0]["content"][0]["text"] == "Hello there"


async def test_streams_of_an_async_openai_are_recorded(
    async_openai: openai.AsyncOpenAI, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    stream = await async_openai.chat.completions.create(model="gpt-4o-mini", messages=ASKED, stream=True)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["Hello", " there", None]
    async with async_openai.responses.stream(model="gpt-4o-mini", input="Say hello") as helper:
        assert (await helper.get_final_response()).output_text == "Hello there"
    assert list(map(tell, journal.usages)) == [OF_OPENAI] * 2


def test_calls_of_anthropic_are_recorded(
    sync_anthropic: anthropic.Anthropic, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    asked: dict[str, Any] = {"model": "anthropic:claude-sonnet-4-6", "max_tokens": 100, "messages": ASKED}
    assert sync_anthropic.messages.create(**asked).content[0].text == "Hello there"  # type: ignore[union-attr]
    for _ in sync_anthropic.messages.create(**asked, stream=True):
        pass
    with sync_anthropic.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == "Hello there"
        assert stream.get_final_message().usage.output_tokens == 50
    assert [body["model"] for body in sent] == ["claude-sonnet-4-6"] * 3
    assert list(map(tell, journal.usages)) == [OF_ANTHROPIC] * 3
    assert [answer["stop_reason"] for _, answer, _, _ in journal.captures] == ["end_turn"] * 3
    assert journal.captures[1][1]["text"] == "Hello there"


async def test_calls_of_an_async_anthropic_are_recorded(
    async_anthropic: anthropic.AsyncAnthropic, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    asked: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": ASKED}
    assert (await async_anthropic.messages.create(**asked)).stop_reason == "end_turn"
    async with async_anthropic.messages.stream(**asked) as stream:
        assert "".join([text async for text in stream.text_stream]) == "Hello there"
    async for _ in await async_anthropic.messages.create(**asked, stream=True):
        break  # nobody reads on, and the stream is closed
    assert list(map(tell, journal.usages[:2])) == [OF_ANTHROPIC] * 2


def test_a_stream_that_is_closed_before_its_end_is_recorded_as_far_as_it_came(
    sync_anthropic: anthropic.Anthropic, journal: Journal, sent: list[dict[str, Any]]
) -> None:
    stream = sync_anthropic.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASKED, stream=True)
    assert next(iter(stream)).type == "message_start"
    stream.close()
    assert [(usage.input, usage.output) for usage in journal.usages] == [(1000, 1)]


def test_a_client_is_not_changed_by_a_recorded_one(httpserver: HTTPServer, ctx: StepContext, journal: Journal) -> None:
    wire.serve(httpserver)
    client = openai.OpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test")
    recorded_openai(client, ctx)
    client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)
    assert journal.usages == []


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry-after": "7"}, 7), ({"retry-after-ms": "2500", "retry-after": "9"}, 3)]
)
async def test_a_limit_becomes_a_snooze_if_asked_for(
    httpserver: HTTPServer, ctx: StepContext, journal: Journal, headers: dict[str, str], seconds: int
) -> None:
    wire.limit(httpserver, headers)
    url = httpserver.url_for("/v1")
    first = recorded_openai(openai.OpenAI(base_url=url, api_key="sk-test"), ctx, snooze=True)
    with pytest.raises(StepEnded) as ended:
        first.responses.create(model="gpt-4o-mini", input="Say hello")
    assert ended.value.seconds == seconds
    second = anthropic.AsyncAnthropic(base_url=httpserver.url_for(""), api_key="sk-test")
    with pytest.raises(StepEnded) as ended:
        await recorded_anthropic(second, ctx, snooze=True).messages.create(
            model="claude-sonnet-4-6", max_tokens=9, messages=ASKED, stream=True
        )
    assert ended.value.seconds == seconds
    assert len(httpserver.log) == 2  # the client has not tried again by itself
    assert [type(error).__name__ for _, _, error, _ in journal.captures] == ["RateLimitError"] * 2
    assert journal.usages == []


def test_an_error_is_captured_and_raised_as_the_client_has_it(
    httpserver: HTTPServer, ctx: StepContext, journal: Journal
) -> None:
    wire.limit(httpserver, {}, status=400)
    client = openai.OpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test")
    with pytest.raises(openai.BadRequestError):
        recorded_openai(client, ctx, snooze=True).responses.create(model="gpt-4o-mini", input="Say hello")
    assert journal.captures[0][0]["input"] == "Say hello"
    assert isinstance(journal.captures[0][2], openai.BadRequestError)


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        (429, "5", timedelta(seconds=5)),
        (529, "5", timedelta(seconds=5)),
        (500, "5", None),
        (429, None, None),
        (429, "soon", None),
        (429, "-1", None),
        (429, "inf", None),
        (429, "nan", None),
        (429, "999999999", None),
    ],
)
def test_what_a_server_says_of_when_to_come_back(
    status: int, told: str | None, expected: timedelta | None, httpserver: HTTPServer
) -> None:
    wire.limit(httpserver, {} if told is None else {"retry-after": told}, status)
    client = openai.OpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test", max_retries=0)
    with pytest.raises(openai.APIStatusError) as raised:
        client.responses.create(model="gpt-4o-mini", input="x")
    assert retry_after(raised.value) == expected


def test_a_date_to_come_back_at_is_understood(httpserver: HTTPServer) -> None:
    wire.limit(httpserver, {"retry-after": format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)})
    client = openai.OpenAI(base_url=httpserver.url_for("/v1"), api_key="sk-test", max_retries=0)
    with pytest.raises(openai.APIStatusError) as raised:
        client.responses.create(model="gpt-4o-mini", input="x")
    delay = retry_after(raised.value)
    assert delay is not None
    assert timedelta(minutes=1) < delay <= timedelta(minutes=2)


@pytest.mark.parametrize("made", [openai.OpenAI, openai.AsyncOpenAI, anthropic.Anthropic, anthropic.AsyncAnthropic])
def test_the_clients_make_every_call_by_the_post_of_their_instance(made: Callable[..., Any]) -> None:
    """The internals of the clients that the adapters rely on."""
    client = made(api_key="sk-test").with_options(max_retries=0)
    mark = client.post = object()
    resource = client.messages if hasattr(client, "messages") else client.responses
    assert resource._post is mark
    assert client.beta is not None
