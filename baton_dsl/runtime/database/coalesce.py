"""Combine the same question of many jobs in a process into one statement, and retry it until it is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from baton_dsl.runtime.database.answers import is_outage, may_pass
from baton_dsl.runtime.database.retrying import TRIES, pause_after

logger = logging.getLogger(__name__)

MOST: Final = 500
"""Requests in one statement: more gain nothing."""

type Asked[Request, Reply] = tuple[Request, asyncio.Future[Reply]]


class Coalescer[Request, Reply]:
    """Gathers requests while a statement is under way, and sends what has gathered as the next one.

    The first request goes out as soon as all tasks that are ready have run, so the jobs of one fetch travel together;
    after that the batch grows by itself to what arrives during one round trip. Nobody waits for a timer.

    While the server is away, a batch is tried again as it is, with growing, jittered pauses. One that the server has
    refused is tried again in halves, at the same time, until each request has its reply or has failed by itself; the
    next batch goes out meanwhile. So a request that can't be answered holds up nobody.

    Args:
        name: What it asks for, for the log.
        flush: Answers a batch of requests, in order. It is told whether the same was asked before, so that it may have
            been done unheard; it must be safe to repeat.
        context: The context in which it does; none of whoever asks is seen in it. Default: the present one.
        keeps: Whether a request is sent though who asked has been cancelled meanwhile: a result is stored all the same.
        rest: Is called whenever nothing is left to ask. With it, replies come a moment later: whoever `flush` has
            started may ask at once, and the next batch is under way before those who asked for this one go on.

    Examples:
        >>> async def double(numbers: Sequence[int], is_again: bool) -> list[int]:
        ...     return [2 * number for number in numbers]
        >>> async def main() -> list[int]:
        ...     doubler = Coalescer("double", double)
        ...     return await asyncio.gather(*map(doubler.submit, range(3)))
        >>> asyncio.run(main())
        [0, 2, 4]
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Request], bool], Awaitable[Sequence[Reply]]],
        context: Context | None = None,
        *,
        keeps: bool = False,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._name = name
        self._flush = flush
        self._context = context or copy_context()
        self._keeps = keeps
        self._rest = rest
        self._waiting: list[Asked[Request, Reply]] = []
        self._sender: asyncio.Task[None] | None = None
        self._apart: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request) -> Reply:
        """Ask, together with whoever else asks now.

        Raises:
            Exception: What `flush` raised last for this request alone; at once, if repeating can't help.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((request, future))
        if self._sender is None or self._sender.done():
            self._sender = self._context.copy().run(loop.create_task, self._send())
            self._watch(self._sender)
        return await future

    async def submit_again(self, request: Request) -> Reply:
        """Ask alone for what was asked before, in another way."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self._answer([(request, future)], is_apart=True, is_again=True)
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer(batch)
        finally:
            if self._rest is not None:
                await self._rest()

    async def _answer(
        self, batch: Sequence[Asked[Request, Reply]], *, is_apart: bool = False, is_again: bool = False
    ) -> None:
        """Answer a batch; in a task of its own, which holds up no other, a single request may take its time."""
        for number in range(TRIES):
            batch = [(request, future) for request, future in batch if self._keeps or not future.done()]
            if not batch:
                return
            try:
                replies = await self._flush([request for request, _ in batch], is_again)
                if len(replies) != len(batch):  # whoever got no reply would wait for ever
                    raise RuntimeError(f"{len(batch)} requests got {len(replies)} replies")
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who asked
                is_again = is_again or is_outage(error)
                is_last = number == TRIES - 1
                if len(batch) == 1 and (is_last or not may_pass(error)):
                    _fail(batch[0][1], error)
                    return
                if is_last or not (is_outage(error) or (is_apart and len(batch) == 1)):
                    self._split(batch, is_again)
                    return
                pause = pause_after(number)
                logger.warning("%s is tried again in %.2f s: %s", self._name, pause, str(error).strip())
                await asyncio.sleep(pause)
            else:
                await self._deliver(partial(_reply, batch, replies), is_apart)
                return

    async def _deliver(self, reply: Callable[[], None], is_apart: bool) -> None:
        """Hand out the replies of a batch; where another one has come with them, once that is under way."""
        if self._rest is None or is_apart:
            reply()
            return
        try:
            await asyncio.sleep(0)
        finally:
            if self._waiting:
                asyncio.get_running_loop().call_soon(reply)
            else:
                reply()

    def _split(self, batch: Sequence[Asked[Request, Reply]], is_again: bool) -> None:
        half = len(batch) // 2
        for part in filter(None, (batch[:half], batch[half:])):
            task = asyncio.create_task(self._answer_apart(part, is_again))
            self._apart.add(task)
            task.add_done_callback(self._apart.discard)
            self._watch(task)

    async def _answer_apart(self, batch: Sequence[Asked[Request, Reply]], is_again: bool) -> None:
        try:
            await self._answer(batch, is_apart=True, is_again=is_again)
        finally:
            if self._rest is not None:
                await self._rest()

    def _watch(self, task: asyncio.Task[None]) -> None:
        if self._keeps:
            _keeping.add(task)


def _reply[Request, Reply](batch: Sequence[Asked[Request, Reply]], replies: Sequence[Reply]) -> None:
    for (_, future), reply in zip(batch, replies, strict=True):
        if not future.done():
            future.set_result(reply)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():  # whoever asked may have gone away meanwhile
        future.set_exception(error)


_keeping: Final[WeakSet[asyncio.Task[None]]] = WeakSet()


async def all_kept(timeout: float) -> None:  # noqa: ASYNC109 - what is not sent by then is left to its senders
    """Wait until everything is sent that is kept, in all of this event loop."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while senders := [sender for sender in _keeping if not sender.done() and sender.get_loop() is loop]:
        done, _ = await asyncio.wait(senders, timeout=max(0.0, deadline - loop.time()))
        if not done:
            return
