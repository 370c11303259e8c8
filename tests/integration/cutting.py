"""A proxy in front of PostgreSQL that cuts a connection at a chosen message, before or after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Proxy:
    """Counts what clients send, on all connections together.

    Attributes:
        dsn: How to connect through it.
        sent: How many messages have passed since it was armed.
    """

    def __init__(self, dsn: str, server: Path) -> None:
        self.dsn = dsn
        self.sent = 0
        self._server = server
        self._cut_at: int | None = None
        self._is_answer_lost = False

    def arm(self, cut_at: int, *, is_answer_lost: bool) -> None:
        """Cut the connection that sends that message.

        Args:
            cut_at: Which one, from 0.
            is_answer_lost: The server gets it and does what it says; else it never hears of it.
        """
        self.sent, self._cut_at, self._is_answer_lost = 0, cut_at, is_answer_lost

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Stand between one client and the server."""
        with suppress(OSError):
            back_reader, back_writer = await asyncio.open_unix_connection(str(self._server))
            mute = asyncio.Event()
            answers = asyncio.create_task(_forward(back_reader, writer, mute))
            try:
                await self._requests(reader, back_writer, answers, mute)
            finally:
                answers.cancel()
                for each in (writer, back_writer):
                    each.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        answers: asyncio.Task[None],
        mute: asyncio.Event,
    ) -> None:
        while chunk := await reader.read(65536):
            is_last = self.sent == self._cut_at
            self.sent += 1
            if is_last and not self._is_answer_lost:
                return
            if is_last:
                mute.set()
            server.write(chunk)
            if is_last:
                await answers  # it ends when the server has answered, unheard
                return


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event) -> None:
    while chunk := await reader.read(65536):
        if mute.is_set():
            return
        writer.write(chunk)


@asynccontextmanager
async def proxy(dsn: str, folder: Path) -> AsyncIterator[Proxy]:
    """A proxy for a server that listens on a Unix socket."""
    given: dict[str, Any] = conninfo_to_dict(dsn)
    socket = f".s.PGSQL.{given.get('port', 5432)}"  # libpq's name for it
    made = Proxy(make_conninfo(dsn, host=str(folder)), Path(given["host"]) / socket)
    server = await asyncio.start_unix_server(made.accept, folder / socket)
    try:
        yield made
    finally:
        server.close()
