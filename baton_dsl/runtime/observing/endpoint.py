"""The HTTP endpoint of a worker: `/metrics`, `/healthz` and `/readyz`, answered by a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from baton_dsl.errors import MetricsPortError
from baton_dsl.runtime.observing.health import Health

logger = logging.getLogger(__name__)

_TEXT: Final = "text/plain; charset=utf-8"

type Exposition = Callable[[str], tuple[bytes, str]]
"""A function that returns the metrics and their content type for the header `Accept` of a request."""


@contextmanager
def served(host: str, port: int, health: Health, exposition: Exposition) -> Iterator[int]:
    """Answer requests while the context lasts. Yields the port.

    Args:
        host: The address to listen on.
        port: The port; 0 for any free one.
        health: Answers `/healthz` and `/readyz`.
        exposition: Answers `/metrics`.

    Raises:
        MetricsPortError: BTN534, if nothing can listen there.
    """
    try:
        server = ThreadingHTTPServer((host, port), _handler(health, exposition))
    except (OSError, OverflowError) as error:
        raise MetricsPortError(f"nothing can listen on {host}:{port}: {error}") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="baton-endpoint", daemon=True).start()
    try:
        logger.info("metrics and health are at http://%s:%d", host, server.server_port)
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _handler(health: Health, exposition: Exposition) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers one connection."""

        server_version, sys_version = "baton", ""
        timeout = 10.0

        def do_GET(self) -> None:
            """Answer a request."""
            match self.path.partition("?")[0]:
                case "/metrics":
                    try:
                        body, kind = exposition(self.headers.get("Accept", ""))
                    except Exception:
                        logger.exception("the metrics can't be collected")
                        self._send(500, b"see the log\n")
                        return
                    self._send(200, body, kind)
                case "/healthz":
                    self._tell(health.illness())
                case "/readyz":
                    self._tell(health.unreadiness())
                case _:
                    self._send(404, b"there are /metrics, /healthz and /readyz\n")

        do_HEAD = do_GET  # noqa: N815

        def _tell(self, problem: str | None) -> None:
            self._send(200 if problem is None else 503, f"{problem or 'ok'}\n".encode())

        def _send(self, status: int, body: bytes, kind: str = _TEXT) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing, because probes come every few seconds."""
            logger.debug(format, *args)

    return Handler
