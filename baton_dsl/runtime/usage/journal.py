"""The journal of one attempt: what `StepContext` records besides the result. It is written while the step runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from datetime import UTC, datetime, timedelta
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Any, Protocol

from baton_dsl.core.wording import printable, shortened, storable
from baton_dsl.errors import OnceError
from baton_dsl.llm.redaction import captured, text_without_secrets
from baton_dsl.llm.responses import LONGEST_NAME, usage_of
from baton_dsl.llm.usage import Usage
from baton_dsl.runtime.lowering.lower import new_workflow_id
from baton_dsl.runtime.usage import checkpoints
from baton_dsl.runtime.usage.entries import CaptureEntry, Place, UsageEntry

logger = logging.getLogger("baton_dsl.step")


class Writer(Protocol):
    """Writes the entries of journals: to the database, or to the memory of a test."""

    async def usage(self, entry: UsageEntry) -> None:
        """Write a call of a model."""

    async def capture(self, entry: CaptureEntry) -> None:
        """Write an exchange with a model."""

    async def stored(self, job_id: int) -> Mapping[tuple[str, int], str]:
        """The checkpoints of a job, by name and number."""

    async def store(self, job_id: int, name: str, number: int, result: str) -> None:
        """Store a checkpoint."""


class Journal:
    """Records for one attempt of one step.

    It is created on the event loop; its methods may be called there and in the thread of a sync step. Entries are
    written at once, in the background and in transactions of their own. The end of the attempt waits for them.

    Args:
        writer: Writes the entries.
        place: The attempt.
        model: The model that was chosen for the step.
        has_checkpoints: Whether an earlier attempt may have stored some.

    Attributes:
        has_checkpoints: Whether there may be some, which must be deleted when the step's result is stored.
    """

    __slots__ = (
        *("_captures", "_counts", "_loop", "_model", "_place", "_stored", "_thread", "_writer", "_writing"),
        "has_checkpoints",
    )

    def __init__(self, writer: Writer, place: Place, *, model: str | None, has_checkpoints: bool = False) -> None:
        self.has_checkpoints = has_checkpoints
        self._writer = writer
        self._place = place
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._writing: set[asyncio.Task[None]] = set()
        self._captures = 0
        self._counts: Counter[str] = Counter()
        self._stored: Mapping[tuple[str, int], str] | None = None

    # --- what the context calls --------------------------------------------------------------------------------------

    def record_usage(
        self,
        response: object,
        *,
        model: str | None,
        provider: str | None,
        tier: str | None,
        latency: timedelta | None,
    ) -> Usage:
        """See `StepContext.record_usage`."""
        usage = usage_of(
            response, model=model, provider=provider, tier=tier, latency=latency, default_model=self._model
        )
        if usage.remark is not None:
            logger.warning('step "%s": %s', self._place.node, printable(usage.remark), extra=self._place.extra)
        entry = UsageEntry(new_workflow_id(), self._place, usage)
        self._begin(lambda: self._writer.usage(entry))
        return usage

    def capture(self, request: object, response: object, error: BaseException | str | None, model: str | None) -> None:
        """See `StepContext.capture`."""
        self._captures += 1
        message = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
        named = model or self._model
        entry = CaptureEntry(
            id=new_workflow_id(),
            place=self._place,
            number=self._captures,
            model=storable(named)[:LONGEST_NAME] if named else None,
            request=captured(request),
            response=None if response is None else captured(response),
            error=None if message is None else shortened(text_without_secrets(message)),
            captured_at=datetime.now(UTC),
        )
        self._begin(lambda: self._writer.capture(entry))

    def once(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `StepContext.once`."""
        key = (checkpoints.checked_name(name), self._counts[name])
        self._counts[name] += 1
        if threading.get_ident() == self._thread:
            return self._once_async(key, function, args, kwargs)
        if iscoroutinefunction(function):
            raise OnceError(f'once("{printable(name)}") was given an async function in a sync step')
        return self._once_sync(key, function, args, kwargs)

    # --- once --------------------------------------------------------------------------------------------------------

    async def _once_async(
        self, key: tuple[str, int], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        text = await self._found(key)
        if text is not None:
            return self._decoded(key, function, text)
        value = function(*args, **kwargs)
        if isawaitable(value):
            value = await value
        await self._writer.store(self._place.job_id, *key, self._encoded(key, function, value))
        return value

    def _once_sync(
        self, key: tuple[str, int], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        text = self._on_the_loop(self._found(key))
        if text is not None:
            return self._decoded(key, function, text)
        value = function(*args, **kwargs)
        if isawaitable(value):
            if iscoroutine(value):
                value.close()
            raise OnceError(f'once("{printable(key[0])}") was given an async function in a sync step')
        self._on_the_loop(self._writer.store(self._place.job_id, *key, self._encoded(key, function, value)))
        return value

    async def _found(self, key: tuple[str, int]) -> str | None:
        self.has_checkpoints = True
        if self._stored is None:
            self._stored = await self._writer.stored(self._place.job_id)
        return self._stored.get(key)

    def _decoded(self, key: tuple[str, int], function: Callable[..., Any], text: str) -> Any:
        return checkpoints.decode(self._place.node, key, function, text)

    def _encoded(self, key: tuple[str, int], function: Callable[..., Any], value: Any) -> str:
        return checkpoints.encode(self._place.node, key, function, value)

    def _on_the_loop[T](self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    # --- writing -----------------------------------------------------------------------------------------------------

    def _begin(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a write in the background."""
        if threading.get_ident() == self._thread:
            self._start(write)
            return
        try:
            self._loop.call_soon_threadsafe(self._start, write, context=Context())
        except RuntimeError:  # the worker has ended before this thread
            logger.error('step "%s" has recorded a call too late', self._place.node, extra=self._place.extra)

    def _start(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(self._write(write), context=Context())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except Exception:
            # The call was paid for: a failure to record it must not make the step run again.
            logger.exception('what step "%s" recorded is lost', self._place.node, extra=self._place.extra)

    async def close(self) -> None:
        """Wait until everything that was recorded so far is written."""
        while self._writing:
            await asyncio.wait(self._writing)
