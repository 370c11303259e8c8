"""One statement for what many jobs of a process ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from weakref import WeakSet

MOST: Final = 500
"""Requests in one statement: more gain nothing, and a failed batch is tried again one by one."""


class Coalescer[Request, Reply]:
    """Gathers requests while a statement is under way, and sends what has gathered as the next one.

    The first request goes out as soon as all tasks that are ready have run, so the jobs of one fetch travel together;
    after that the batch grows by itself to what arrives during one round trip. Nobody waits for a timer.

    Args:
        flush: Answers a batch of requests, in order.
        keeps: Whether a request is sent though who asked has been cancelled meanwhile: a result is stored all the same.

    Example:
        >>> async def double(numbers: Sequence[int]) -> list[int]:
        ...     return [2 * number for number in numbers]
        >>> async def main() -> list[int]:
        ...     doubler = Coalescer(double)
        ...     return await asyncio.gather(*map(doubler.submit, range(3)))
        >>> asyncio.run(main())
        [0, 2, 4]
    """

    def __init__(
        self, flush: Callable[[Sequence[Request]], Awaitable[Sequence[Reply]]], *, keeps: bool = False
    ) -> None:
        self._flush = flush
        self._keeps = keeps
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Reply:
        """Ask, together with whoever else asks now.

        Raises:
            Exception: What `flush` raised for this request. In a batch that failed, each is tried by itself first.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((request, future))
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send())
            if self._keeps:
                _keeping.add(self._sender)
        return await future

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._answer([(request, future) for request, future in batch if self._keeps or not future.done()])

    async def _answer(self, batch: list[tuple[Request, asyncio.Future[Reply]]]) -> None:
        if not batch:
            return
        try:
            replies = await self._flush([request for request, _ in batch])
            if len(replies) != len(batch):  # whoever got no reply would wait for ever
                raise RuntimeError(f"{len(batch)} requests got {len(replies)} replies")
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who asked
            if len(batch) > 1:
                for single in batch:
                    await self._answer([single])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)


_keeping: WeakSet[asyncio.Task[None]] = WeakSet()


async def all_kept(timeout: float) -> None:  # noqa: ASYNC109 - what is not sent by then is left to its senders
    """Wait until everything is sent that is kept, in all of this event loop."""
    loop = asyncio.get_running_loop()
    senders = [sender for sender in _keeping if not sender.done() and sender.get_loop() is loop]
    if senders:
        await asyncio.wait(senders, timeout=timeout)
