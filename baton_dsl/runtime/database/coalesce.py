"""Combine the same request of many jobs of a process into one statement, and retry it until it succeeds."""

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
"""The most requests in one statement: more are not faster."""

type Asked[Request, Reply] = tuple[Request, asyncio.Future[Reply]]


class Coalescer[Request, Reply]:
    """Collects requests while a statement is running, and sends the collected ones together as the next statement.

    The first request is sent as soon as all ready tasks have run, so that the jobs of one fetch are sent together.
    After that, each batch contains what arrived during the last round trip. Nothing waits for a timer.

    While the server is gone, the whole batch is retried, with growing pauses and jitter. If the server rejects a batch,
    its halves are retried concurrently, and so on, until each request has its reply or has failed alone. Meanwhile the
    next batch is sent. So a request that always fails does not delay any other.

    Args:
        name: The name of the request in the log.
        flush: Answers a batch of requests, in order. Its second argument says whether the batch is repeated, so that an
            earlier try may have succeeded without an answer. It must be safe to repeat.
        context: The context in which `flush` runs, so that it sees no context variables of a caller. Default: the
            current one.
        keeps: Whether a request is sent even if its caller was cancelled meanwhile, because a result must be stored.
        rest: Called when no request is left. With it, replies are delivered a little later: what `flush` has started
            may send a request first, and its batch is on the way before the callers of the previous one continue.

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
        """Send a request, together with those that are submitted at the same time.

        Raises:
            Exception: The last exception that `flush` raised for this request alone; at once, if repeating can't help.
        """
        return await self.ask(request)

    def ask(self, request: Request) -> asyncio.Future[Reply]:
        """As `submit`, for who goes on meanwhile and looks at the reply later."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((request, future))
        if self._sender is None or self._sender.done():
            self._sender = self._context.copy().run(loop.create_task, self._send())
            self._watch(self._sender)
        return future

    async def submit_again(self, request: Request) -> Reply:
        """Send a request alone that repeats an earlier one in another way."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self._answer_apart([(request, future)], is_again=True)
        return await future

    async def _send(self) -> None:
        while self._waiting:  # also what has come during the rest: nobody else would send it
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
        """Answer a batch. With `is_apart`, it runs in its own task, so a slow request does not delay others."""
        for number in range(TRIES):
            batch = [(request, future) for request, future in batch if self._keeps or not future.done()]
            if not batch:
                return
            try:
                replies = await self._flush([request for request, _ in batch], is_again)
                if len(replies) != len(batch):  # a caller without a reply would wait for ever
                    raise RuntimeError(f"{len(batch)} requests got {len(replies)} replies")
            except Exception as error:  # noqa: BLE001 - the callers get the exception
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
            task = asyncio.create_task(self._answer_apart(part, is_again=is_again))
            self._apart.add(task)
            task.add_done_callback(self._apart.discard)
            self._watch(task)

    async def _answer_apart(self, batch: Sequence[Asked[Request, Reply]], *, is_again: bool) -> None:
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
    if not future.done():  # the caller may have been cancelled meanwhile
        future.set_exception(error)


_keeping: Final[WeakSet[asyncio.Task[None]]] = WeakSet()


async def all_kept(timeout: float) -> None:  # noqa: ASYNC109 - the senders handle what is not sent by then
    """Wait until all coalescers of this event loop have sent the requests that they keep."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while senders := [sender for sender in _keeping if not sender.done() and sender.get_loop() is loop]:
        done, _ = await asyncio.wait(senders, timeout=max(0.0, deadline - loop.time()))
        if not done:
            return
