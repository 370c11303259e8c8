"""`Baton`: runs flows in memory, for tests. The fixture `baton` is one."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from typing import Any, final

from baton_dsl.errors import BatonError, RunError
from baton_dsl.flow import Flow
from baton_dsl.reflect import signature
from baton_dsl.step import Step
from baton_dsl.testing.clock import Clock
from baton_dsl.testing.explore import MOST_RUNS, Exploration, Schedule, explore
from baton_dsl.testing.memory import Memory, insert
from baton_dsl.testing.replacing import Given, Replacements
from baton_dsl.testing.run import Run

__tracebackhide__ = True
"""pytest leaves the frames of this module out of its tracebacks: an error of a flow is about the test that ran it."""


@final
class Baton:
    """Runs flows in memory and in virtual time: no database, a few milliseconds.

    Attributes:
        clock: The time of all runs; it can be moved forward by hand.
        sync: The blocking counterparts of the methods, for tests that are not coroutines.
        runs: The runs so far.

    Examples:
        >>> from baton_dsl import Flow, Input, step
        >>> from baton_dsl.testing import Baton
        >>> @step(name="charge")
        ... def charge(amount: Input[int]) -> int:
        ...     return amount
        >>> with Baton() as baton:  # in pytest, the fixture `baton`
        ...     run = baton.sync.run(Flow("billing", charge), amount=12, replace={charge: [ConnectionError(), 12]})
        >>> run.outcome, run[charge], run.attempts(charge)
        ('completed', 12, 2)
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.sync = SyncBaton(self)
        self.runs: list[Run] = []

    def __enter__(self) -> Baton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        **inputs: Any,
    ) -> Run:
        """Run a workflow of a flow to its end.

        Args:
            flow: The flow.
            replace: Replacements: for a step or its name, a value, an exception, a function, or a list of these, one
                for each attempt. A hook of the flow can be replaced too.
            queues: How many jobs of each queue run at once; default: 10.
            **inputs: The inputs, as for `Flow.insert`.

        Raises:
            FlowError, InputError: As for `Flow.insert`.
            ReplacementError: BTN601, if a replaced step is not in the flow, or can't return the replacement.
            RunError: BTN602, if the workflow never ends.
        """
        run = self.start(flow, replace=replace, queues=queues, **inputs)
        return await run.finish()

    def start(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        **inputs: Any,
    ) -> Run:
        """Insert a workflow of a flow, but do not run it yet; `Run.until` and `Run.finish` run it.

        Args:
            flow: The flow.
            replace: See `run`.
            queues: See `run`.
            **inputs: The inputs.
        """
        replacements = _read(flow, replace)
        run = Run(_insert(flow, inputs, self.clock), self.clock, replacements, queues or {})
        self.runs.append(run)
        return run

    async def explore(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        crashes: int = 1,
        before: Callable[[], object] | None = None,
        check: Callable[[Run], object] | None = None,
        max_runs: int | None = None,
        replay: str | None = None,
        **inputs: Any,
    ) -> Exploration:
        """Run a flow in every order of its steps, and with a crash of the process at every possible point.

        A process can crash where a step awaits, and between the end of its function and the storing of its result.
        Orders differ in which step starts or continues next. The items of a map start in only one order.

        Args:
            flow: The flow.
            replace: See `run`.
            queues: See `run`.
            crashes: The most crashes in one run.
            before: Called before each run, to reset what the steps change.
            check: Called with each run at its end. It raises or returns False if something is wrong. Default: every run
                must end like the first one, with the same results.
            max_runs: The most schedules to try; default: 2,000.
            replay: A single schedule, as named in an error.
            **inputs: The inputs.

        Raises:
            ExplorationError: BTN603, an `AssertionError`, with the shortest schedule that breaks the flow.
        """
        return await asyncio.get_running_loop().run_in_executor(
            None,
            lambda: self.sync.explore(
                flow,
                replace=replace,
                queues=queues,
                crashes=crashes,
                before=before,
                check=check,
                max_runs=max_runs,
                replay=replay,
                **inputs,
            ),
        )

    def close(self) -> None:
        """Close all runs."""
        for run in self.runs:
            run.close()


@final
class SyncBaton:
    """The blocking counterparts of `Baton`'s methods."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def run(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        **inputs: Any,
    ) -> Run:
        """See `Baton.run`."""
        return self._baton.start(flow, replace=replace, queues=queues, **inputs).sync.finish()

    def explore(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        crashes: int = 1,
        before: Callable[[], object] | None = None,
        check: Callable[[Run], object] | None = None,
        max_runs: int | None = None,
        replay: str | None = None,
        **inputs: Any,
    ) -> Exploration:
        """See `Baton.explore`."""
        replacements = _read(flow, replace)
        beginning = _insert(flow, inputs, Clock())
        usual: list[tuple[str | None, dict[str, Any]]] = []

        def attempt(schedule: Schedule) -> str | None:
            if before is not None:
                before()
            clock = Clock()
            run = Run(beginning.copy(clock), clock, replacements, queues or {}, schedule)
            try:
                run.sync.finish()
                return _wrong_with(run, check, usual)
            finally:
                run.close()
                schedule.bury()

        seen = explore(attempt, crashes=crashes, max_runs=max_runs or MOST_RUNS, replay=replay)
        if not seen.is_complete and max_runs is None and replay is None:
            warnings.warn(f'the exploration of "{flow.name}" {seen}', stacklevel=2)
        return seen


def _insert(flow: Flow[..., Any], inputs: Mapping[str, Any], clock: Clock) -> Memory:
    """Insert a workflow; what is wrong with the flow or its inputs is raised without the frames that found it."""
    try:
        return insert(flow, inputs, clock)
    except BatonError as error:
        raise error.with_traceback(None) from None


def _read(flow: Flow[..., Any], replace: Given | None) -> Replacements:
    """Read the replacements, and check that each step that takes a database connection has one."""
    replacements = Replacements(flow, replace)
    for entry in flow.entries:
        if not isinstance(entry.step, Step) or replacements.replaces(entry.name):
            continue
        if taken := next((it.name for it in signature(entry.step).parameters if it.access is not None), None):
            raise RunError(
                f'step "{entry.name}" takes a database connection as "{taken}", and a run in memory has no database',
                remedy="replace the step, or run the flow on a database: baton_db.run(...)",
            )
    return replacements


def _wrong_with(
    run: Run, check: Callable[[Run], object] | None, usual: list[tuple[str | None, dict[str, Any]]]
) -> str | None:
    """Describe what is wrong with a run; None if nothing is."""
    if check is not None:
        try:
            return "the check returned False" if check(run) is False else None
        except BatonError:
            raise
        except Exception as error:  # noqa: BLE001 - a check may raise anything
            return f"the check raised {type(error).__name__}: {error}".rstrip(": ")
    end = (run.outcome, run.results)
    if not usual:
        usual.append(end)
    outcome, results = usual[0]
    if end[0] != outcome:
        return f"the workflow was {end[0]}, in the first run it was {outcome}"
    changed = sorted(name for name in results if results[name] != end[1].get(name))
    if changed:
        name = changed[0]
        return f'"{name}" returned {end[1].get(name)!r:.80}, in the first run {results[name]!r:.80}'
    return None
