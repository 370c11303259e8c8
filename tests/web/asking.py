"""Requests to the dashboard without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    """The response."""

    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    text: str


async def ask(
    app: Any,
    path: str = "/",
    *,
    method: str = "GET",
    form: dict[str, str] | None = None,
    body: bytes | None = None,
    headers: dict[str, str | None] | None = None,
    client: str = "127.0.0.1",
    server: str = "127.0.0.1",
    user: Any = None,
    root: str = "",
    **query: str,
) -> Answer:
    """One request, as a server would make it."""
    sent = urlencode(form).encode() if form is not None else body or b""
    given: dict[str, str | None] = {"host": "localhost:4040"}
    if form is not None:
        given["content-type"] = "application/x-www-form-urlencoded"
    given |= headers or {}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root + path,
        "raw_path": (root + path).encode(),
        "root_path": root,
        "query_string": urlencode(query).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        "client": (client, 50000),
        "server": (server, 4040),
    }
    if user is not None:
        scope["user"] = user
    messages: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": sent, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not pending:
            await asyncio.Event().wait()  # who asks stays until all is sent
        return pending.pop()

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    pairs = [(name.decode(), value.decode()) for name, value in messages[0]["headers"]]
    cookies = dict(value.partition(";")[0].split("=", 1) for name, value in pairs if name == "set-cookie")
    text = b"".join(message.get("body", b"") for message in messages[1:]).decode()
    return Answer(messages[0]["status"], dict(pairs), cookies, text)
