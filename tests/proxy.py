"""A proxy in front of PostgreSQL that simulates network faults, in a separate thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SEEN = 4096
"""Bytes of what a client has sent last that are kept, to tell connections apart."""


class Fault(Enum):
    """The fault of a connection, or of the whole network."""

    NONE = "works"
    HALF_OPEN = "takes what the client sends; the server has hung up"
    BLACK_HOLE = "takes what both send, and passes nothing on"
    FROZEN = "takes nothing, and passes it on later"


class Link:
    """One connection of a client, and its other half to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.fault = Fault.NONE
        self.sent = bytearray()
        self.works = asyncio.Event()
        self.works.set()


class Proxy:
    """Stands between clients and one server.

    Attributes:
        dsn: How to connect through it.
        latency: Seconds that every message takes.
        share: The part of the connections, chosen at random, that a fault meets.
    """

    def __init__(self, dsn: str, random: Random | None = None) -> None:
        gc.freeze()  # so that `close` looks only at what has been made since
        given: dict[str, Any] = conninfo_to_dict(dsn)
        self.latency = 0.0
        self.share = 1.0
        self._random = random or Random()
        self._server = Path(given["host"]) / f".s.PGSQL.{given.get('port', 5432)}"
        self._links: set[Link] = set()
        self._network = Fault.NONE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listener = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        port = self._listener.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port)

    # --- bad days ----------------------------------------------------------------------------------------------------

    def cut(self, *having: bytes) -> int:
        """Reset connections. Each of these says how many it has met; `having` names what they have sent of late."""
        return self._each(having, lambda link: _abort(link.client))

    def half_open(self, *having: bytes) -> int:
        """The server has closed the connection, but the client does not learn it; its bytes are accepted."""

        def suffer(link: Link) -> None:
            link.fault = Fault.HALF_OPEN
            if link.server is not None:
                _abort(link.server)

        return self._each(having, suffer)

    def swallow(self, *having: bytes) -> int:
        """Bytes from either side are dropped; both still trust the connection."""
        return self._each(having, lambda link: setattr(link, "fault", Fault.BLACK_HOLE))

    def freeze(self, *having: bytes) -> int:
        """Nothing moves until `heal`."""

        def suffer(link: Link) -> None:
            link.fault = Fault.FROZEN
            link.works.clear()

        return self._each(having, suffer)

    def black_hole(self) -> int:
        """All connections, old and new, accept data and never answer, until `heal`."""
        self._network = Fault.BLACK_HOLE
        self.share = 1.0
        return self.swallow()

    def heal(self) -> None:
        """New connections work, and frozen ones continue. Dropped bytes stay lost."""
        self._network, self.latency, self.share = Fault.NONE, 0.0, 1.0

        def recover(link: Link) -> None:
            if link.fault is Fault.FROZEN:
                link.fault = Fault.NONE
                link.works.set()

        self._each((), recover)

    def close(self) -> None:
        """End it with all of its connections."""

        async def end() -> None:
            self._listener.close()
            await asyncio.sleep(0.05)  # a task that is cancelled before it begins would close nothing
            for link in list(self._links):
                _abort(link.client)
            others = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for _ in range(5):  # aborted transports close their sockets a turn later
                for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
                    transport.abort()  # also what nobody has got yet
                await asyncio.sleep(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._listener.wait_closed(), 5)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._links.clear()
        with warnings.catch_warnings(), patch("sys.unraisablehook", lambda _: None):
            # A connection that comes at this very moment, such as the watch's question, belongs to nobody.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.unfreeze()

    # --- in its thread -----------------------------------------------------------------------------------------------

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _each(self, having: tuple[bytes, ...], act: Callable[[Link], object]) -> int:
        async def meet() -> int:
            met = [
                link
                for link in self._links
                if (not having or any(each in link.sent for each in having)) and self._random.random() < self.share
            ]
            for link in met:
                act(link)
            return len(met)

        return self._do(meet())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        self._links.add(link)
        try:
            if self._network is Fault.BLACK_HOLE:
                link.fault = Fault.BLACK_HOLE
                while await reader.read(65536):
                    pass
                return
            with suppress(OSError):
                answers, link.server = await asyncio.open_unix_connection(str(self._server))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._ask(link, reader))
                    both.create_task(self._answer(link, answers))
        finally:
            self._links.discard(link)
            for each in (link.client, link.server):
                if each is not None:
                    _abort(each)

    async def _ask(self, link: Link, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                link.sent += chunk
                del link.sent[:-SEEN]
                await self._pass(link, link.server, chunk)
        if link.server is not None:
            _abort(link.server)

    async def _answer(self, link: Link, answers: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await answers.read(65536):
                await self._pass(link, link.client, chunk)
        if link.fault in (Fault.NONE, Fault.FROZEN):
            _abort(link.client)

    async def _pass(self, link: Link, to: asyncio.StreamWriter | None, chunk: bytes) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        await link.works.wait()
        if link.fault is Fault.NONE and to is not None:
            to.write(chunk)
            await to.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@contextmanager
def proxy(dsn: str, random: Random | None = None) -> Iterator[Proxy]:
    """A proxy for a server that listens on a Unix socket."""
    made = Proxy(dsn, random)
    try:
        yield made
    finally:
        made.close()
