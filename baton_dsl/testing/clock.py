"""Virtual time: a clock that jumps to the next event, and an event loop that uses it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, final

PATIENCE: Final = 5.0
"""Real seconds in which a step that waits for nothing we know of may still be woken, by a thread of its own."""


@final
class Clock:
    """The time of runs in memory. It stands still while nothing waits, and jumps to the next event when all wait.

    Attributes:
        seconds: How far it has gone since it was made.

    Examples:
        >>> clock = Clock()
        >>> began = clock.now()
        >>> clock.advance(hours=2)
        >>> clock.now() - began
        datetime.timedelta(seconds=7200)
    """

    def __init__(self) -> None:
        self._origin = datetime.now(UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        """The virtual moment, with its time zone."""
        return self.moment(self.seconds)

    def moment(self, seconds: float) -> datetime:
        """The moment so many seconds after the clock was made."""
        return self._origin + timedelta(seconds=seconds)

    def since_origin(self, moment: datetime) -> float:
        """How many seconds after the clock was made a moment is."""
        return (moment - self._origin).total_seconds()

    def advance(self, by: timedelta | None = None, /, **units: float) -> None:
        """Move the clock forward.

        Args:
            by: By how much.
            **units: The same in units of `timedelta`: `hours=2`.

        Raises:
            ValueError: If that would move it backwards.
        """
        delta = (by or timedelta()) + timedelta(**units)
        if delta < timedelta():
            raise ValueError(f"the clock moves forward only, got {delta}")
        self.seconds += delta.total_seconds()

    def advance_to(self, seconds: float) -> None:
        """Move the clock to a moment, unless it is there already."""
        self.seconds = max(self.seconds, seconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a `Clock`.

    When nothing is ready, the clock jumps to the next timer: `asyncio.sleep` and timeouts cost nothing. As long as real
    work is under way (a thread runs, a socket is open), timers take the real time that they say.

    Args:
        clock: The clock.
        is_busy: True while a thread works for a step.
        when_stalled: Called when nothing can happen any more.
    """

    def __init__(self, clock: Clock, is_busy: Callable[[], bool], when_stalled: Callable[[], None]) -> None:
        self._clock_of_run = clock
        self._threads_at_work = 0
        self._is_busy = is_busy
        super().__init__(_Selector(clock, self._is_at_work, when_stalled))
        self.slow_callback_duration = 60

    def time(self) -> float:
        """The seconds of the clock."""
        return self._clock_of_run.seconds

    def run_in_executor[*A, T](
        self, executor: Executor | None, func: Callable[[*A], T], *args: *A
    ) -> asyncio.Future[T]:
        """As any loop does; meanwhile the clock does not jump."""
        self._threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_has_ended)
        return future

    def _thread_has_ended(self, _: asyncio.Future[Any]) -> None:
        self._threads_at_work -= 1

    def _is_at_work(self) -> bool:
        return self._threads_at_work > 0 or self._is_busy()


@final
class _Selector(selectors.BaseSelector):
    """The system's selector, which waits in virtual time where nothing real is waited for."""

    def __init__(self, clock: Clock, is_at_work: Callable[[], bool], when_stalled: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._clock = clock
        self._is_at_work = is_at_work
        self._when_stalled = when_stalled

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        has_sockets = len(self._selector.get_map()) > 1  # the loop's own wakes it from other threads
        if not has_sockets and not self._is_at_work() and timeout is not None:
            self._clock.seconds += timeout
            return []
        is_hopeless = timeout is None and not has_sockets and not self._is_at_work()
        ready = self._selector.select(PATIENCE if is_hopeless else timeout)
        if not ready and is_hopeless:
            self._when_stalled()
        elif not ready and timeout is not None:
            self._clock.seconds += timeout  # only where a timer is due: what is quick takes no time at all
        return ready
