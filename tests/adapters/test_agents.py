"""Agents of pydantic-ai in steps, on a real database, against a server that speaks OpenAI's wire format."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic_ai import durable_exec
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from baton_dsl import Flow
from tests.adapters import agent_steps as steps
from tests.adapters import wire
from tests.conftest import StartOban, until
from tests.integration.test_processes import oban_start

TIMEOUT = 60


@pytest.fixture(autouse=True)
def forget() -> None:
    steps.CALLS.clear()
    steps.FAILING.clear()


def tool_call(name: str, **arguments: str) -> dict[str, Any]:
    """A tool call in a model's response."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{'_'.join(arguments.values())}", "type": "function", "function": function}


def answer(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's answers: first it calls the tool for two cities in parallel, then it repeats the results."""
    told = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
    if not told:
        calls = [tool_call("weather", city=city) for city in ("Rome", "Oslo")]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    asked = next(message["content"] for message in messages if message["role"] == "user")
    return {"role": "assistant", "content": f"{asked} {max(told, key=lambda it: it['degrees'])}"}


@pytest.fixture
def asked(httpserver: HTTPServer) -> list[str]:
    """A model; gives what it was asked, by the role of the last message."""
    seen: list[str] = []

    def complete(request: Request) -> Response:
        body = json.loads(request.get_data())
        seen.append(body["messages"][-1]["role"])
        message = answer(body["messages"])
        reason = "tool_calls" if "tool_calls" in message else "stop"
        if body.get("stream"):
            for at, call in enumerate(message.get("tool_calls", ())):
                call["index"] = at
            head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
            chunk = {**head, "choices": [{"index": 0, "delta": message, "finish_reason": reason}]}
            end = {**head, "choices": [], "usage": wire.CHAT_USAGE}
            return wire.sse([(None, chunk), (None, end), (None, "[DONE]")])
        choices = [{"index": 0, "finish_reason": reason, "message": message}]
        return Response(json.dumps({**wire.CHAT, "choices": choices}), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(complete)
    return seen


PLACES: list[dict[str, int]] = [{}, {"in Rome": 1}, {"in Oslo": 1}, {"after": 1}]


@pytest.mark.parametrize("failing", PLACES, ids=str)
async def test_no_call_that_was_stored_is_made_again(
    start_oban: StartOban,
    httpserver: HTTPServer,
    asked: list[str],
    failing: dict[str, int],
    conn: psycopg.Connection[Any],
) -> None:
    steps.FAILING.update(failing)
    async with start_oban():
        workflow = await steps.forecasting.options(debug=True).insert(url=httpserver.url_for("/v1"))
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert "Rome" in await workflow.result(steps.forecast)
        usage = await workflow.usage()
        captures = await workflow.captures("forecast")
    assert asked == ["user", "tool"]
    failed_tool = {place.removeprefix("in ") for place in failing if place.startswith("in ")}
    assert all(steps.CALLS[city] == 2 for city in failed_tool)
    if failed_tool != {"Oslo"}:  # which fails while Rome is still being asked, so that nothing is stored of that
        assert all(steps.CALLS[city] == 1 for city in {"Rome", "Oslo"} - failed_tool)
    assert (usage.total.calls, usage.total.input, usage.total.cached, usage.total.output) == (2, 2000, 1200, 100)
    assert usage.total.cost is not None
    assert not usage.lower_bound
    assert [capture.response["parts"][0]["part_kind"] for capture in captures] == ["tool-call", "text"]
    assert "Where is it warmer?" in json.dumps(captures[0].request)
    assert conn.execute("SELECT count(*) FROM baton_checkpoints").fetchone() == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "notes"), [("second", ["first", "second", "second"]), ("after", ["first", "second"])]
)
async def test_a_process_that_is_killed_repeats_no_stored_call(
    httpserver: HTTPServer, dsn: str, conn: psycopg.Connection[Any], tmp_path: Path, place: str, notes: list[str]
) -> None:
    seen: list[int] = []
    said = [
        {"role": "assistant", "content": None, "tool_calls": [tool_call("note", text=text)]}
        for text in ("first", "second")
    ]

    def complete(request: Request) -> Response:
        told = sum(message["role"] == "tool" for message in json.loads(request.get_data())["messages"])
        seen.append(told)
        message = said[told] if told < 2 else {"role": "assistant", "content": "done"}
        choices = [{"index": 0, "finish_reason": "stop" if told == 2 else "tool_calls", "message": message}]
        return Response(json.dumps({**wire.CHAT, "choices": choices}), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(complete)
    (tmp_path / "place").write_text(place)
    workflow = Flow("killed", steps.killed).insert(conn, url=httpserver.url_for("/v1"), folder=tmp_path)
    with oban_start(dsn, "default:1") as process:
        await until(lambda: process.poll() is not None)
    assert process.returncode == -signal.SIGKILL
    with oban_start(dsn, "default:1"):
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert workflow.sync.result(steps.killed) == "done"
    assert seen == [0, 1, 2]  # each answer of the model was asked for once
    assert (tmp_path / "notes").read_text().split() == notes
    assert workflow.sync.usage().total.calls == 3


async def test_a_stream_is_a_checkpoint_too(start_oban: StartOban, httpserver: HTTPServer, asked: list[str]) -> None:
    steps.FAILING["after"] = 1
    async with start_oban():
        workflow = await Flow("streaming", steps.streamed).insert(url=httpserver.url_for("/v1"))
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert "Rome" in (await workflow.result(steps.streamed))[0]
        assert (await workflow.usage()).total.calls == 2
    assert asked == ["user", "tool"]


async def test_runs_side_by_side_keep_their_own_calls(
    start_oban: StartOban, httpserver: HTTPServer, asked: list[str]
) -> None:
    steps.FAILING["after"] = 1
    async with start_oban():
        workflow = await Flow("two", steps.twice).insert(url=httpserver.url_for("/v1"))
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        first, second = await workflow.result(steps.twice)
    assert first.startswith("Where is it warmer?")
    assert second.startswith("And now?")
    assert sorted(asked) == ["tool", "tool", "user", "user"]
    assert steps.CALLS == {"Rome": 2, "Oslo": 2}


async def test_a_limit_becomes_a_snooze(start_oban: StartOban, httpserver: HTTPServer) -> None:
    wire.limit(httpserver, {"retry-after": "60"})
    async with start_oban():
        workflow = await Flow("limited", steps.patient).insert(url=httpserver.url_for("/v1"))

        async def is_snoozed() -> bool:
            (node,) = await workflow.nodes()
            return node.state == "scheduled"

        await until(is_snoozed)


async def test_without_a_step_an_agent_runs_as_it_did(httpserver: HTTPServer, asked: list[str]) -> None:
    result = await steps.agent_at(httpserver.url_for("/v1")).run("Where is it warmer?")
    assert "Rome" in result.output
    assert asked == ["user", "tool"]


def test_what_we_stand_on_is_public() -> None:
    assert set(durable_exec.__all__) >= {
        "JSON_CODEC",
        "BaseDurabilityCapability",
        "DurabilityEngineSpec",
        "DurableOperationBackend",
        "DurableOperationId",
        "EventStreamHandlerId",
        "JournalCallableOperationBackend",
        "ModelRequestId",
        "RoleBasedOperationConfig",
        "conversation_id_from_run_id",
    }
