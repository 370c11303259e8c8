"""Explore every order of steps and every crash of a flow, by running it repeatedly.

Each run follows a schedule: a list of choices, where 0 is the default. The first run has only default choices, the next
ones differ from it in one choice, then in two, and so on. So the first schedule that breaks a flow is a shortest one.
This is stateless model checking with a bound on the number of deviations (Musuvathi and Qadeer, "Iterative context
bounding for systematic testing of multithreaded programs", PLDI 2007).
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, final

from baton_dsl.core.items import index_of
from baton_dsl.errors import ExplorationError
from baton_dsl.testing.engine import Engine
from baton_dsl.testing.turns import Died, Turns

MOST_RUNS: Final = 2_000
"""The default for the most schedules of an exploration."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """The result of an exploration that found nothing wrong.

    Attributes:
        runs: How many schedules were tried.
        is_complete: True if these were all possible schedules, within the bound on crashes.
    """

    runs: int
    is_complete: bool

    def __str__(self) -> str:
        seen = "all schedules" if self.is_complete else "schedules, not all that there are: raise max_runs to see more"
        return f"tried {self.runs:,} {seen}"


@dataclass(slots=True)
class Schedule(Turns):
    """One schedule: the given choices, followed by default ones; and a record of what happened.

    Attributes:
        choices: The choices to make.
        crashes: The most crashes.
        made: How many alternatives there were at each choice.
        story: What happened, one line for each event.
    """

    choices: tuple[int, ...]
    crashes: int
    made: list[int] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    _engine: Engine | None = None
    _waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _active: str | None = None
    _last: str | None = None
    _dead: list[Coroutine[Any, Any, Any]] = field(default_factory=list)

    async def calm(self) -> None:
        """Let tasks that were woken request their turn."""
        for _ in range(4):
            await asyncio.sleep(0)

    def offer(self, engine: Engine) -> bool:
        """Let one step start or continue."""
        self._engine = engine
        if self._active is not None:
            return True
        again = sorted(self._waiting, key=lambda node: node != self._last)
        fresh = [
            node
            for node in engine.memory.available()
            if engine.has_place(node) and not engine.memory.waits_for_budget(node)
        ]
        options = [*again, *self._first_items(engine, fresh)]
        if not options:
            return True
        node = options[self._choose(len(options))]
        self._active = self._last = node
        if node in self._waiting:
            self._tell(f'"{node}" goes on')
            self._waiting.pop(node).set_result(None)
        else:
            attempt = engine.memory.jobs[node].attempt + 1
            again_told = f" again, attempt {attempt}" if attempt > 1 else ""
            self._tell(f'"{node}" starts{again_told}')
            engine.start(node)
        return True

    def _first_items(self, engine: Engine, nodes: list[str]) -> list[str]:
        """Keep only one of the items of a map that start for the first time, because they are alike."""
        seen: set[str] = set()
        kept: list[str] = []
        for node in nodes:
            root = engine.memory.model.nodes[node].root
            if root is not None and index_of(node) is not None and engine.memory.jobs[node].attempt == 0:
                if root in seen:
                    continue
                seen.add(root)
            kept.append(node)
        return kept

    def may_settle(self, node: str) -> bool:
        """Whether the process survives until the result is stored."""
        self._active = None
        if self._dies():
            self._tell(f'the process of "{node}" dies: its function has ended, and nothing is stored')
            assert self._engine is not None
            self._engine.memory.crash(node)
            return False
        self._tell(f'"{node}" has ended')
        return True

    async def run(self, node: str, function: Coroutine[Any, Any, Any], *, is_sync: bool) -> Any:
        """Run a function, and stop it at each of its awaits."""
        if is_sync:
            return await function  # a function that doesn't await can be interrupted only by a crash after it
        return await _Stepping(self, node, function)

    def blocked(self, node: str) -> None:
        """Called when a function awaits something."""
        if self._active == node:
            self._active = None
        self._wake()

    def wants(self, node: str) -> asyncio.Future[None]:
        """Called when a function could continue; returns its turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[node] = turn
        self._wake()
        return turn

    def dies_within(self, node: str, function: Coroutine[Any, Any, Any]) -> bool:
        """Whether the process crashes before the function continues."""
        if not self._dies():
            return False
        self._dead.append(function)  # not closed, because a process that crashes does not clean up
        self._tell(f'the process of "{node}" dies where it awaits')
        self._active = None
        assert self._engine is not None
        self._engine.memory.crash(node)
        return True

    def bury(self) -> None:
        """Drop the functions whose processes have crashed."""
        for function in self._dead:
            with suppress(BaseException):
                function.close()
        self._dead.clear()

    def _wake(self) -> None:
        if self._engine is not None:
            self._engine.wake()

    def _dies(self) -> bool:
        if self.crashes <= 0 or not self._choose(2):
            return False
        self.crashes -= 1
        return True

    def _choose(self, ways: int) -> int:
        if ways == 1:
            return 0
        at = len(self.made)
        self.made.append(ways)
        return min(self.choices[at], ways - 1) if at < len(self.choices) else 0

    def _tell(self, event: str) -> None:
        self.story.append(event)


class _Stepping:
    """Drives a coroutine from await to await, and requests a turn before each."""

    def __init__(self, schedule: Schedule, node: str, function: Coroutine[Any, Any, Any]) -> None:
        self.schedule = schedule
        self.node = node
        self.function = function

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                awaited = self.function.throw(error) if error is not None else self.function.send(None)
            except StopIteration as ended:
                return ended.value
            error = None
            self.schedule.blocked(self.node)
            try:
                yield awaited
                yield from self.schedule.wants(self.node).__await__()
            except BaseException as thrown:  # noqa: BLE001 - a timeout or a cancellation, which the function handles
                error = thrown
            if self.schedule.dies_within(self.node, self.function):
                raise Died


def explore(
    attempt: Callable[[Schedule], str | None], *, crashes: int, max_runs: int, replay: str | None
) -> Exploration:
    """Try schedules until one breaks the flow, or all have been tried.

    Args:
        attempt: Runs the flow by a schedule; returns what is wrong, or None.
        crashes: The most crashes in one run.
        max_runs: The most schedules to try.
        replay: A single schedule to try, as named in an error.

    Raises:
        ExplorationError: BTN603, with the shortest schedule that breaks the flow.
    """
    if replay is not None:
        schedule = Schedule(_choices(replay), crashes)
        _try(attempt, schedule, 1)
        return Exploration(runs=1, is_complete=False)
    ahead: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    runs = pushed = 0
    while ahead and runs < max_runs:
        departures, _, choices = heapq.heappop(ahead)
        schedule = Schedule(choices, crashes)
        runs += 1
        _try(attempt, schedule, runs)
        for at in range(len(choices), len(schedule.made)):
            usual = (0,) * (at - len(choices))
            for way in range(1, schedule.made[at]):
                pushed += 1
                heapq.heappush(ahead, (departures + 1, pushed, (*choices, *usual, way)))
    return Exploration(runs=runs, is_complete=not ahead)


def _try(attempt: Callable[[Schedule], str | None], schedule: Schedule, number: int) -> None:
    wrong = attempt(schedule)
    if wrong is None:
        return
    replay = ".".join(map(str, schedule.choices)) or "0"
    lines = [f"  {at}. {event}" for at, event in enumerate(schedule.story, start=1)]
    twice = Counter(call.node for call in schedule._engine.calls) if schedule._engine else Counter[str]()  # noqa: SLF001
    ran = [f'  "{node}" ran {count} times' for node, count in twice.items() if count > 1]
    raise ExplorationError(
        "\n".join(
            [
                f"{wrong}, in schedule {number:,} of those tried:",
                *lines,
                *ran,
                f'run it again alone with replay="{replay}"',
            ]
        )
    )


def _choices(replay: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, replay.split(".")))
    except ValueError:
        raise ExplorationError(
            f"replay= takes the numbers that an error has named, such as 0.2.1, got {replay!r:.60}"
        ) from None
