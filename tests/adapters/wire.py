"""Responses of the providers of models, in their wire formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}],
    "usage": CHAT_USAGE,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4o-mini-2024-07-18",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 600},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 1050,
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 300,
        "cache_read_input_tokens": 600,
        "cache_creation_input_tokens": 100,
        "output_tokens": 50,
    },
}
LIMITED = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}


def chunks(usage: bool) -> list[tuple[str | None, Any]]:
    """A stream of chat completions."""

    def chunk(choices: list[Any], used: Any = None) -> tuple[None, Any]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": CHAT["model"]}
        return None, {**head, "choices": choices, **({"usage": used} if usage else {})}

    said = [chunk([{"index": 0, "delta": {"content": text}, "finish_reason": None}]) for text in ("Hello", " there")]
    end = chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return [*said, end, *([chunk([], CHAT_USAGE)] if usage else []), (None, "[DONE]")]


def response_events() -> list[tuple[str | None, Any]]:
    """A stream of responses."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    events = [
        {"type": "response.created", "response": begun, "sequence_number": 0},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "sequence_number": 1,
            "item": {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []},
        },
        {
            "type": "response.content_part.added",
            "sequence_number": 2,
            "part": {"type": "output_text", "text": "", "annotations": []},
            **place,
        },
        {"type": "response.output_text.delta", "delta": "Hello there", "sequence_number": 3, **place},
        {"type": "response.completed", "response": RESPONSE, "sequence_number": 4},
    ]
    return [(event["type"], event) for event in events]  # type: ignore[misc]


def message_events() -> list[tuple[str | None, Any]]:
    """A stream of messages."""
    begun = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}}  # type: ignore[dict-item]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def sse(events: Iterable[tuple[str | None, Any]]) -> Response:
    """Events as a server sends them."""

    def lines() -> Iterable[str]:
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data)
            yield f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"

    return Response(lines(), content_type="text/event-stream")


def serve(server: HTTPServer) -> list[dict[str, Any]]:
    """Serve the wire formats of OpenAI and Anthropic; yields the requests received."""
    seen: list[dict[str, Any]] = []

    def answering(
        at_once: Any, events: Callable[[dict[str, Any]], list[tuple[str | None, Any]]]
    ) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            body = json.loads(request.get_data())
            seen.append(body)
            if body.get("stream"):
                return sse(events(body))
            return Response(json.dumps(at_once), content_type="application/json")

        return answer

    def with_usage(body: dict[str, Any]) -> list[tuple[str | None, Any]]:
        return chunks(bool((body.get("stream_options") or {}).get("include_usage")))

    server.expect_request("/v1/chat/completions").respond_with_handler(answering(CHAT, with_usage))
    server.expect_request("/v1/responses").respond_with_handler(answering(RESPONSE, lambda _: response_events()))
    server.expect_request("/v1/messages").respond_with_handler(answering(MESSAGE, lambda _: message_events()))
    return seen


def limit(server: HTTPServer, headers: dict[str, str], status: int = 429) -> None:
    """Make a server refuse every request."""
    answer = Response(json.dumps(LIMITED), status=status, headers=headers, content_type="application/json")
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        server.expect_request(path).respond_with_response(answer)
