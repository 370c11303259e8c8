"""`Run`: one workflow of a test, running or ended."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Literal, final, overload

from baton_dsl.core import maps
from baton_dsl.core.items import index_of, item_of, step_of
from baton_dsl.core.lifecycle import Outcome, State
from baton_dsl.core.why import why
from baton_dsl.errors import (
    ItemNotFoundError,
    ResultNotReadyError,
    RetryError,
    RunError,
    StepNotInWorkflowError,
)
from baton_dsl.llm.reports import Capture, WorkflowUsage
from baton_dsl.reflect import signature
from baton_dsl.runtime.observing.results import Index
from baton_dsl.runtime.observing.status import NodeStatus
from baton_dsl.runtime.operating.actions import see_attempts
from baton_dsl.runtime.operating.approving import see_approved, see_budget
from baton_dsl.runtime.values import payload
from baton_dsl.runtime.values.collected import collected, whole_of
from baton_dsl.status import WorkflowStatus
from baton_dsl.step import Step
from baton_dsl.testing.choosing import with_models
from baton_dsl.testing.clock import Clock, VirtualLoop
from baton_dsl.testing.engine import Call, Engine
from baton_dsl.testing.memory import Memory
from baton_dsl.testing.passages import collect
from baton_dsl.testing.pictures import picture
from baton_dsl.testing.replacing import Replacements
from baton_dsl.testing.turns import NO_TURNS, Turns
from baton_dsl.testing.views import facts_of, nodes_of, state_of, status_of

type AnyStep = Step[..., Any, Any, Any]
type Key = AnyStep | str | tuple[AnyStep | str, int | tuple[int, ...]]

__tracebackhide__ = True
"""As in `baton_dsl.testing.baton`."""

HORIZON: Final = timedelta(days=3660)
"""The most virtual time of a workflow; one that takes longer never ends."""


@final
class Run:
    """One workflow in memory. Its properties show the current state; the methods of `sync` let it continue.

    Attributes:
        clock: Its clock, which it shares with other runs of the same test.
        sync: The blocking counterparts of the methods.

    Example:
        ```python
        run = await baton.run(billing, api_key="x")
        assert run.outcome == "completed"
        assert run[report].total == 12
        assert run.attempts(charge) == 1
        print(run)                       # the flow with the state of each step
        ```
    """

    def __init__(
        self,
        memory: Memory,
        clock: Clock,
        replacements: Replacements,
        queues: Mapping[str, int],
        turns: Turns = NO_TURNS,
    ) -> None:
        self.clock = clock
        self.sync = SyncRun(self)
        self._memory = memory
        self._engine = engine = Engine(memory, clock, replacements, queues, turns)
        self._loop = VirtualLoop(clock, lambda: engine.is_in_threads, engine.stall)
        weakref.finalize(self, self._loop.close)  # for users of `Baton` without the fixture who close nothing
        self._thread: ThreadPoolExecutor | None = None
        self._began = clock.seconds
        self.is_closed = False

    # --- the state ---------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self._memory.lowered.workflow_id

    @property
    def outcome(self) -> str | None:
        """How the workflow ended: `completed`, `cancelled` or `discarded`; None while it has not."""
        return self.status.outcome

    @property
    def status(self) -> WorkflowStatus:
        """Its status, like `Workflow.status`."""
        return status_of(self._memory)

    @property
    def nodes(self) -> list[NodeStatus]:
        """The status of each step, like `Workflow.nodes`."""
        return nodes_of(self._memory)

    def items(self, step: AnyStep | str, /) -> list[NodeStatus]:
        """The status of each item of a mapped step."""
        return nodes_of(self._memory, self._node(step))

    @property
    def elapsed(self) -> timedelta:
        """The virtual time from its insert to its end, or to now."""
        ended = self._memory.ended_at
        return timedelta(seconds=(self.clock.seconds if ended is None else ended) - self._began)

    @property
    def results(self) -> dict[str, Any]:
        """The results of all completed steps, by name."""
        done = [name for name in self._memory.lowered.names if self._outcome(name) is Outcome.COMPLETED]
        return {name: self[name] for name in done}

    def __getitem__(self, key: Key) -> Any:
        """The result of a step, decoded by its return annotation; `run[orders, 3]` is that of an item.

        Raises:
            ResultNotReadyError: BTN409, if it has not completed.
            StepNotInWorkflowError: BTN408, if the flow has no such step.
            ItemNotFoundError: BTN413, if the step has no such item.
        """
        step, index = key if isinstance(key, tuple) else (key, None)
        name = self._node(step, index)
        node = self._memory.model.nodes[name]
        if node.outcome is not Outcome.COMPLETED:
            ended = f"was {node.outcome}" if node.outcome else "has not completed"
            reason = self._memory.error(name)
            raise ResultNotReadyError(f'step "{name}" {ended}, so it has no result', remedy=reason)
        found = next(entry.step for entry in self._memory.flow.entries if entry.name == step_of(name))
        annotation: Any = signature(found).returns if isinstance(found, Step) else Any
        text = self._memory.results.get(name)
        if node.is_map:
            below = sum(1 for _ in index_of(name) or ())
            text, missing = collect(self._memory, name)
            annotation = whole_of(annotation, text, self._memory.specs[step_of(name)].levels - below)
            text = collected(annotation, text, payload.encode(Any, missing) if missing else None)
        return payload.decode_result(name, "result", name, annotation, text)

    @overload
    def results_of[R](
        self, step: Step[..., R, Any, Any], /, index: Index = None, *, levels: Literal[1] = 1
    ) -> list[R]: ...
    @overload
    def results_of[R](
        self, step: Step[..., R, Any, Any], /, index: Index = None, *, levels: Literal[2]
    ) -> list[list[R]]: ...
    @overload
    def results_of(self, step: str, /, index: Index = None, *, levels: int = 1) -> list[Any]: ...
    def results_of(self, step: Step[..., Any, Any, Any] | str, /, index: Index = None, *, levels: int = 1) -> list[Any]:
        """The results of a mapped step, like `Workflow.results_of`: `run.results_of(orders) == [12, 30]`.

        Raises:
            ItemNotFoundError: BTN413, if the step is not mapped, or has other levels.
        """
        name = self._node(step, index)
        node, indices = self._memory.model.nodes[name], index_of(name) or ()
        mapped = self._memory.specs[step_of(name)].levels if node.is_map else len(indices)
        if wrong := maps.unlisted(step_of(name), mapped, indices, levels):
            raise ItemNotFoundError(f'workflow "{self.id}": {wrong[0]}', remedy=wrong[1])
        found: list[Any] = self[name]
        return found

    def attempts(self, step: AnyStep | str, /, index: Index = None) -> int:
        """How many attempts a step has used; for a mapped step without an index, the total of all items."""
        name = self._node(step, index)
        if not self._memory.model.nodes[name].is_map:
            return self._memory.jobs[name].attempt
        return sum(job.attempt for node, job in self._memory.jobs.items() if step_of(node) == name)

    def calls(self, step: AnyStep | str, /) -> list[Call]:
        """All calls of a step, in order, with their arguments."""
        name = self._node(step)
        return [call for call in self._engine.calls if step_of(call.node) == name]

    def errors(self, step: AnyStep | str, /, index: Index = None) -> list[str]:
        """The errors of a step, one for each failed attempt, each with its traceback."""
        name = self._node(step, index)
        row = self._memory.jobs.get(name)
        found = [str(entry["error"]) for entry in row.errors] if row is not None else []
        return [*found, *([self._memory.reasons[name]] if name in self._memory.reasons else [])]

    @property
    def usage(self) -> WorkflowUsage:
        """What the calls of models have used and cost, like `Workflow.usage`."""
        return self._engine.records.total(self._memory.lowered.names)

    def captures(self, step: AnyStep | str, /) -> list[Capture]:
        """What a step exchanged with models with `debug=True`, like `Workflow.captures`."""
        return self._engine.records.captures(self._node(step))

    @property
    def hook_errors(self) -> Mapping[str, BaseException]:
        """The exceptions of the flow's hooks, by name."""
        return self._engine.hook_errors

    def why(self, step: AnyStep | str | None = None, /) -> str:
        """Explain what the workflow or a step is waiting for, or why it ended, like `Workflow.why`."""
        return why(facts_of(self._memory), None if step is None else self._node(step))

    def __str__(self) -> str:
        return picture(self._memory.flow.spec(), self.nodes)

    def __repr__(self) -> str:
        return f"<run of {self._memory.flow.name!r}: {self.outcome or 'not ended'}>"

    # --- actions -----------------------------------------------------------------------------------------------------

    async def finish(self) -> Run:
        """Let the workflow continue to its end, or until all remaining steps wait for a larger budget.

        Raises:
            RunError: BTN602, if it never ends.
        """
        return await self._await(self._finish())

    async def until(self, step: AnyStep | str, state: str = "settled", /) -> Run:
        """Let the workflow continue until a step has reached a state.

        Args:
            step: The step, or an item of a map as `"orders[3]"`.
            state: `settled`, or one of Oban's states, such as `executing` or `retryable`.

        Raises:
            RunError: BTN602, if the step never reaches it.
        """
        return await self._await(self._until(step, state))

    async def cancel(self) -> bool:
        """Cancel the workflow, as `Workflow.cancel`."""
        return await self._await(self._cancel())

    async def retry(
        self,
        from_step: AnyStep | str | None = None,
        *,
        attempts: int | None = None,
        models: Mapping[str, str] | None = None,
    ) -> bool:
        """Retry failed steps, or a step and everything downstream, like `Workflow.retry`. `finish` then runs them."""
        return await self._await(self._retry(from_step, attempts, models))

    async def pause(self) -> bool:
        """Pause the workflow: no further step starts until `resume`."""
        return await self._await(_of(self._memory.pause))

    async def resume(self) -> bool:
        """Resume the paused workflow."""
        return await self._await(_of(self._memory.resume))

    async def approve(self, budget: Decimal | int) -> None:
        """Set the budget of the workflow, as `Workflow.approve`; `finish` lets it go on."""
        await self._await(_of(lambda: self._approve(budget)))

    async def crash(self, step: AnyStep | str, /) -> Run:
        """Let the process of a running step crash. The step starts again, unless this was its last allowed crash."""
        return await self._await(self._crash(step))

    # --- implementation ----------------------------------------------------------------------------------------------

    async def _finish(self) -> Run:
        memory = self._memory
        await self._engine.drive(lambda: memory.outcome is not None or self.elapsed > HORIZON)
        if memory.outcome is not None and self._engine.running:  # attempts that the workflow does not wait for
            await self._engine.drive(lambda: not self._engine.running)
        if memory.outcome is None and not memory.model.is_paused and not any(map(memory.waits_for_budget, memory.jobs)):
            raise RunError(
                f"the workflow has not ended after {self.elapsed} of virtual time: {self.why()}",
                remedy="look for a step that snoozes for ever, or a plain job that nobody runs",
            )
        return self

    async def _until(self, step: AnyStep | str, state: str) -> Run:
        wanted = step.name if isinstance(step, Step) else step
        if step_of(wanted) not in self._memory.specs:
            raise StepNotInWorkflowError.among(self.id, step_of(wanted), self._memory.lowered.names)
        if state != "settled" and state not in list(State):
            raise RunError(f'until() waits for "settled" or a state of Oban\'s, got {state!r:.60}')

        def is_so() -> bool:
            node = self._memory.model.nodes.get(wanted)
            if node is None:
                return False
            return node.outcome is not None if state == "settled" else state_of(self._memory, wanted).value == state

        await self._engine.drive(is_so)
        if not is_so():
            raise RunError(f'"{wanted}" was never {state}: {self.why()}')
        return self

    async def _cancel(self) -> bool:
        is_first = self._memory.stop()
        self._engine.ask_to_stop()
        await asyncio.sleep(0)
        return is_first

    async def _retry(
        self, from_step: AnyStep | str | None, attempts: int | None, models: Mapping[str, str] | None
    ) -> bool:
        if attempts is not None:
            see_attempts(attempts)
        memory = self._memory
        name = None if from_step is None else self._node(from_step)
        if name is not None and (held := memory.held(name)):
            raise RetryError(f'workflow "{self.id}" can\'t be retried from "{name}": {", ".join(sorted(held))} runs')
        behind = () if name is None else memory.model.below(name)
        again = {memory.jobs[node].id for node in behind if node in memory.jobs}

        def retry(workflow: Memory) -> bool:
            return workflow.retry(attempts) if name is None else workflow.retry_from(name, attempts)

        if models:
            is_done, changed = with_models(memory, self.id, models, retry)
            again |= {row.id for node, row in memory.jobs.items() if {node, memory.model.nodes[node].root} & changed}
        else:
            is_done = retry(memory)
        for job_id in again if is_done else ():
            self._engine.records.forget(job_id)
        return is_done

    async def _crash(self, step: AnyStep | str) -> Run:
        name = self._node(step)
        if name not in self._engine.running:
            raise RunError(
                f'"{name}" does not run, so no process dies with it', remedy='until(step, "executing") first'
            )
        await self._engine.kill(name)
        return self

    def _approve(self, budget: Decimal | int) -> None:
        amount = see_budget(budget)
        see_approved(self.id, amount, self._memory.budget.limit, self._memory.budget.spent)
        self._memory.budget.limit = amount

    def _outcome(self, name: str) -> Outcome | None:
        return self._memory.model.nodes[name].outcome

    def _node(self, step: AnyStep | str, index: Index = None) -> str:
        name = step.name if isinstance(step, Step) else step
        nodes = self._memory.model.nodes
        if index is not None:
            item = item_of(name, index if isinstance(index, tuple) else (index,))
            if item not in nodes and name in nodes:
                raise ItemNotFoundError(f'step "{name}" of workflow "{self.id}" has no item {index}')
            name = item
        if name not in nodes:
            raise StepNotInWorkflowError.among(self.id, name, self._memory.lowered.names)
        return name

    async def _await[T](self, doing: Coroutine[Any, Any, T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, self.block_on, doing)

    def block_on[T](self, doing: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop of this run, in a separate thread, because the caller may have a loop too."""
        if self.is_closed:
            doing.close()
            raise RunError("the test of this run has ended")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="baton-run")
        return self._thread.submit(self._loop.run_until_complete, doing).result()

    def close(self) -> None:
        """Abandon running jobs, and close the loop."""
        if self.is_closed:
            return
        if not self._loop.is_closed():
            self.block_on(self._shut_down())
            self._loop.close()
        self.is_closed = True
        if self._thread is not None:
            self._thread.shutdown()

    async def _shut_down(self) -> None:
        await self._engine.close()
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.get_running_loop().shutdown_default_executor()


async def _of[T](function: Callable[[], T]) -> T:
    return function()


@final
class SyncRun:
    """The blocking counterparts of `Run`'s methods, for tests that are not coroutines."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def finish(self) -> Run:
        """See `Run.finish`."""
        return self._run.block_on(self._run._finish())  # noqa: SLF001 - the other half of one class

    def until(self, step: AnyStep | str, state: str = "settled", /) -> Run:
        """See `Run.until`."""
        return self._run.block_on(self._run._until(step, state))  # noqa: SLF001

    def cancel(self) -> bool:
        """See `Run.cancel`."""
        return self._run.block_on(self._run._cancel())  # noqa: SLF001

    def retry(
        self,
        from_step: AnyStep | str | None = None,
        *,
        attempts: int | None = None,
        models: Mapping[str, str] | None = None,
    ) -> bool:
        """See `Run.retry`."""
        return self._run.block_on(self._run._retry(from_step, attempts, models))  # noqa: SLF001

    def pause(self) -> bool:
        """See `Run.pause`."""
        return self._run.block_on(_of(self._run._memory.pause))  # noqa: SLF001

    def resume(self) -> bool:
        """See `Run.resume`."""
        return self._run.block_on(_of(self._run._memory.resume))  # noqa: SLF001

    def approve(self, budget: Decimal | int) -> None:
        """See `Run.approve`."""
        self._run.block_on(_of(lambda: self._run._approve(budget)))  # noqa: SLF001

    def crash(self, step: AnyStep | str, /) -> Run:
        """See `Run.crash`."""
        return self._run.block_on(self._run._crash(step))  # noqa: SLF001
