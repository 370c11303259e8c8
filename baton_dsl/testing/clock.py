"""Virtual time: a clock that jumps to the next event, and an event loop that uses it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, final

PATIENCE: Final = 5.0
"""Real seconds to wait for a step that waits for something unknown: a thread may still wake it."""


@final
class Clock:
    """The time of runs in memory. It stands still while nothing waits, and jumps to the next event when all wait.

    Attributes:
        seconds: The seconds since it was created.

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
        """The virtual time, with its time zone."""
        return self.moment(self.seconds)

    def moment(self, seconds: float) -> datetime:
        """The time a number of seconds after the clock was created."""
        return self._origin + timedelta(seconds=seconds)

    def since_origin(self, moment: datetime) -> float:
        """The seconds between the creation of the clock and a time."""
        return (moment - self._origin).total_seconds()

    def advance(self, by: timedelta | None = None, /, **units: float) -> None:
        """Move the clock forward.

        Args:
            by: How far.
            **units: The same in units of `timedelta`: `hours=2`.

        Raises:
            ValueError: If it would move backwards.
        """
        delta = (by or timedelta()) + timedelta(**units)
        if delta < timedelta():
            raise ValueError(f"the clock moves forward only, got {delta}")
        self.seconds += delta.total_seconds()

    def advance_to(self, seconds: float) -> None:
        """Move the clock to a time, unless it is later already."""
        self.seconds = max(self.seconds, seconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a `Clock`.

    When nothing is ready, the clock jumps to the next timer, so `asyncio.sleep` and timeouts cost nothing. While real
    work is in progress (a thread runs, a socket is open), timers take their real time.

    Args:
        clock: The clock.
        is_busy: Returns True while a thread runs a step.
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
        """Run as any loop does. Until it ends, the clock does not jump."""
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
    """The system's selector, but it waits in virtual time if nothing real is in progress."""

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
        # One socket is the loop's own, which wakes it from other threads.
        has_sockets = len(self._selector.get_map()) > 1
        if not has_sockets and not self._is_at_work() and timeout is not None:
            self._clock.seconds += timeout
            return []
        is_hopeless = timeout is None and not has_sockets and not self._is_at_work()
        ready = self._selector.select(PATIENCE if is_hopeless else timeout)
        if not ready and is_hopeless:
            self._when_stalled()
        elif not ready and timeout is not None:
            self._clock.seconds += timeout  # only if a timer is due: fast code takes no virtual time
        return ready
