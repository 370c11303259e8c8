"""A local server for use without a key: it speaks the wire formats of OpenAI and Anthropic, and knows only its texts.

It is no model. It picks sentences, and weighs a few words; but what is sent and received is what providers send, so
clients, usage, costs and captures are those of real calls.
"""

import json
import re
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

FOR = ("less", "fell", "saved", "fewer", "paid back", "approved")
AGAINST = ("glare", "complaints", "failed", "costs more", "harm", "regret")


@cache
def url() -> str:
    """The address of this process's server, which starts at the first call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    Thread(target=server.serve_forever, daemon=True, name="local models").start()
    return f"http://127.0.0.1:{server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        system = str(body.get("system") or body["messages"][0]["content"])
        text = str(body["messages"][-1]["content"])
        said = json.dumps(answer(system, text, is_bold="claude" in body["model"]))
        make = _message if self.path.endswith("/messages") else _completion
        sent = json.dumps(make(body["model"], said, len(system + text) // 4, len(said) // 4)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def answer(system: str, text: str, *, is_bold: bool) -> dict[str, Any]:
    """The kind of answer that a request wants: points, a summary or a verdict."""
    sentences = [it.removeprefix("- ").strip() for it in re.split(r"(?<=[.!?])\s+|\n+", text) if it.strip()]
    telling = [it for it in sentences if any(word in it for word in (*FOR, *AGAINST))]
    if "'points'" in system:
        return {"points": telling or sentences[:1]}
    if "'summary'" in system:
        said = set(re.findall(r'"answer":"(\w+)"', text))
        agreed = f"agree: {said.pop()}" if len(said) == 1 else f"do not agree: {' and '.join(sorted(said))}"
        told = [it for it in telling if '"answer"' not in it]
        return {"summary": f"The models {agreed}. The strongest points: {' '.join(told[:2])}"}
    good = sum(any(word in it for word in FOR) for it in sentences)
    bad = sum(any(word in it for word in AGAINST) for it in sentences)
    share = good / max(1, good + bad)
    bound = 0.5 if is_bold else 0.75
    verdict = "yes" if share >= bound else "no" if share < 1 - bound else "unclear"
    return {"answer": verdict, "confidence": round(max(share, 1 - share), 2), "reasons": telling[:3]}


def _completion(model: str, said: str, read: int, written: int) -> dict[str, Any]:
    """An answer in OpenAI's format."""
    return {
        "id": "chatcmpl-local",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def _message(model: str, said: str, read: int, written: int) -> dict[str, Any]:
    """An answer in Anthropic's format."""
    return {
        "id": "msg_local",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": said}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": read, "output_tokens": written},
    }
