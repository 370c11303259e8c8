"""`Workflow`: the handle of one inserted execution of a flow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, Generic, Literal, Unpack, final, overload

from typing_extensions import TypeVar

from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import RetryError, WorkflowNotFoundError, WorkflowTimeoutError
from baton_dsl.flow import Flow
from baton_dsl.llm.reports import Capture, WorkflowUsage
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.endings import ending, pauses
from baton_dsl.runtime.database.retrying import TRIES, pause_after
from baton_dsl.runtime.database.snapshot import read, read_on, read_sync
from baton_dsl.runtime.observing import why_facts, workflow_reads
from baton_dsl.runtime.observing.results import Index, node_name
from baton_dsl.runtime.observing.status import NodeStatus as NodeStatus
from baton_dsl.runtime.observing.status import WorkflowStatus as WorkflowStatus
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating import actions
from baton_dsl.runtime.operating.actions import Action, RetryOptions, refusal
from baton_dsl.runtime.operating.approving import approve, approve_sync
from baton_dsl.runtime.operating.rerun import rerun, rerun_sync
from baton_dsl.runtime.usage import reports
from baton_dsl.step import Step

POLL: Final = 5.0
"""Seconds between two polls of `wait`, in case a notification was lost with a connection."""

S = TypeVar("S", bound=str, default=str)


@final
class Workflow(Generic[S]):
    """The handle of one inserted execution of a flow. `Flow.insert` and `Workflow.load` return it.

    The methods are for async code; `sync` has the same for sync code.

    Attributes:
        id: The workflow's id.
        sync: The blocking counterparts of the methods.

    Example:
        ```python
        workflow = await billing.insert(session, api_key="xyz")
        status = await workflow.wait(timeout=60)
        total = await workflow.result(report)
        ```
    """

    def __init__(self, workflow_id: str, *, database: Database) -> None:
        self.id = workflow_id
        self._database = database
        self.sync: SyncWorkflow[S] = SyncWorkflow(workflow_id, database=database)

    def __repr__(self) -> str:
        return f"<workflow {self.id}>"

    @staticmethod
    def load(
        workflow_id: str, *, dsn: str | None = None, prefix: str | None = None, oban: str = "Oban"
    ) -> Workflow[str]:
        """Get the handle of a workflow that any process has inserted. Nothing is read yet.

        Args:
            workflow_id: Its id.
            dsn: The database; default: that of the Oban instance, else of `BATON_DSN` or `OBAN_DSN`.
            prefix: The schema of Oban's tables; default: that of the Oban instance, else of `OBAN_PREFIX`.
            oban: The name of the Oban instance whose pool is used.

        Raises:
            DatabaseNotConfiguredError: BTN411, if no database is named anywhere.
            WorkflowNotFoundError: BTN407, if it can't be the id of a workflow.
        """
        if reason := unstorable(workflow_id):
            raise WorkflowNotFoundError(f'no workflow has the id "{printable(workflow_id)}": {reason}')
        return Workflow(workflow_id, database=Database.configured(dsn=dsn, prefix=prefix, oban=oban))

    async def status(self) -> WorkflowStatus:
        """Return the progress of the workflow: its outcome, and the counts of its nodes by state.

        Raises:
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        return await read(self._database, workflow_reads.status_of(self.id))

    async def nodes(self) -> list[NodeStatus]:
        """Return the status of each step, in topological order; for a map, with the counts of its items."""
        return await read(self._database, workflow_reads.nodes_of(self.id))

    async def wait(self, timeout: float | None = None) -> WorkflowStatus:  # noqa: ASYNC109 - as in `SyncWorkflow.wait`
        """Wait until every node has settled.

        A notification wakes it. In case one was lost with its connection, it also polls every `POLL` seconds, and more
        often behind a pooler, where no notifications arrive.

        Args:
            timeout: How many seconds to wait; None waits without a limit.

        Raises:
            WorkflowTimeoutError: BTN412, a `TimeoutError`.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        try:
            async with asyncio.timeout(timeout) as deadline, ending(self._database, self.id) as end:
                while (status := await end.read(partial(workflow_reads.end_of, self.id))) is None:
                    await end.wait(POLL)
                return status
        except TimeoutError:
            if not deadline.expired():
                raise
            raise WorkflowTimeoutError(f'workflow "{self.id}" has not ended within {timeout} s') from None

    async def items(self, step: Step[..., Any, S, Any] | str, /) -> list[NodeStatus]:
        """Return the status of each item of a map, in order; empty while the map has not expanded.

        Args:
            step: The step, or its name in the flow.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        return await read(self._database, workflow_reads.items_of(self.id, step))

    @overload
    async def result[R](self, step: Step[..., R, S, Any], /, index: Index = None) -> R: ...
    @overload
    async def result(self, step: str, /, index: Index = None) -> Any: ...
    async def result(self, step: Step[..., Any, Any, Any] | str, /, index: Index = None) -> Any:
        """Return the result of a completed step, decoded by its return annotation; for a map, a list of results.

        Args:
            step: The step, or its name in the flow; by name, the result is decoded with the annotation of the step
                that ran, if its code is here.
            index: The item of a mapped step, a number for each level; None for all items. An item without a result is
                then None if the step's results may be None, and left out otherwise.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            ItemNotFoundError: BTN413, if the step has no such item.
            ResultNotReadyError: BTN409, if it has not completed.
            StoredValueError: BTN504, if the stored result no longer validates.
        """
        return await read(self._database, workflow_reads.result_of(self.id, step, index))

    @overload
    async def results_of[R](
        self, step: Step[..., R, S, Any], /, index: Index = None, *, levels: Literal[1] = 1
    ) -> list[R]: ...
    @overload
    async def results_of[R](
        self, step: Step[..., R, S, Any], /, index: Index = None, *, levels: Literal[2]
    ) -> list[list[R]]: ...
    @overload
    async def results_of(self, step: str, /, index: Index = None, *, levels: int = 1) -> list[Any]: ...
    async def results_of(
        self, step: Step[..., Any, Any, Any] | str, /, index: Index = None, *, levels: int = 1
    ) -> list[Any]:
        """Return the results of a mapped step, as a list for every type checker.

        Without a plugin, a type checker does not know that a step is mapped: for it, `result(orders)` is one result.

        Args:
            step: The step, or its name in the flow.
            index: For a step that is mapped over several levels, the item whose lists to return.
            levels: The number of nested lists: 2 for a step that is mapped over two levels.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            ItemNotFoundError: BTN413, if the step is not mapped, or has other levels, or has no such item.
            ResultNotReadyError: BTN409, if it has not completed.
            StoredValueError: BTN504, if a stored result no longer validates.

        Example:
            ```python
            totals = await workflow.results_of(orders)  # list[int], where orders(...) -> int
            ```
        """
        return await read(self._database, workflow_reads.results_of(self.id, step, index, levels))

    async def results(self) -> Mapping[str, Any]:
        """Return the results of all completed steps, by name, in topological order."""
        return await read(self._database, workflow_reads.all_results_of(self.id))

    async def cancel(self) -> bool:
        """Cancel every step that has not started. Running steps see `StepContext.cancelled()`, and are not retried.

        Calling it again asks the running steps again, in case their node did not get the notification.

        Returns:
            True; False if the workflow has ended already, or there is none.
        """
        return await self._operate(Action.CANCEL)

    async def retry(self, from_step: Step[..., Any, S, Any] | str | None = None, **how: Unpack[RetryOptions]) -> bool:
        """Run all cancelled and discarded steps again. Stored results stay.

        A step whose job Oban has pruned can't run again, nor can its downstream steps.

        Args:
            from_step: Run this step and everything downstream again instead, completed or not. Their results are
                deleted; all others stay. Other upstreams that prevent a step from running still do. `"orders[3]"`
                is an item of a mapped step; its other items do not run again.
            **how: `attempts`: how many attempts each step gets that runs again after earlier attempts; default: those
                it has left, at least one. `models`: other models for steps that run again, by step (`"assess[1]"` is
                one of several models). Such a step loses what it has stored with `StepContext.once`.

        Returns:
            True; False if there is nothing to retry.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            RetryError: BTN415, if that step or one downstream runs or has lost its job; or if `models` names a step
                that has no model or does not run again.
            WorkflowNotFoundError: BTN407, if there is no such workflow; only with `from_step`.
        """
        name = _name(from_step)
        for number in range(TRIES):
            done = await actions.retry(self._database, WorkflowFilter(ids=[self.id]), from_step=name, **how)
            if done.ids:
                return True
            if name is None:
                return False
            if error := await read(self._database, refusal(self.id, name)):
                raise error
            await asyncio.sleep(pause_after(number))  # the obstacle has ended meanwhile
        raise RetryError.unexplained(self.id, name or "")

    async def rerun[N: str](self, flow: Flow[..., N], /) -> Workflow[N]:
        """Insert a new workflow with the inputs and label of this one, which stays as it is.

        Args:
            flow: The flow that it was inserted from, in the current code. Its options apply, such as `workflow_id`.

        Raises:
            InputError: BTN303, if the flow no longer accepts the stored inputs.
            FlowMismatchError: BTN416, if this one was inserted from a flow of another name.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        inserted = await rerun(self._database, WorkflowFilter(ids=[self.id]), flow)
        return Workflow(_new_id(self.id, inserted), database=self._database)

    async def why(self, step: Step[..., Any, S, Any] | str | None = None) -> str:
        """Explain in one sentence what the workflow or a step is waiting for, or why it ended.

        Args:
            step: The step; None for the workflow.

        Raises:
            WorkflowNotFoundError: BTN407, if there is no such workflow.
            StepNotInWorkflowError: BTN408, if it has no such step.

        Example:
            ```python
            await workflow.why(report)
            # "report" waits for "charge", which could start, but no worker runs queue "llm".
            ```
        """
        return await read(self._database, why_facts.explain(self.id, _name(step)))

    async def approve(self, budget: Decimal | int) -> None:
        """Set what the workflow may cost in all. Steps that wait for a larger budget then continue.

        Args:
            budget: The new budget, including what is spent already.

        Raises:
            BudgetError: BTN524, if the amount is below what is spent, or the workflow was inserted without a budget.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        await approve(self._database, self.id, budget)

    async def usage(self) -> WorkflowUsage:
        """Return what the calls of models have used and cost, in total, by step and by model. Includes failed attempts.

        Raises:
            WorkflowNotFoundError: BTN407, if there is no such workflow.

        Example:
            ```python
            usage = await workflow.usage()
            print(usage.cost, usage.steps["summarize"].output)
            ```
        """
        return await read(self._database, reports.usage_of_workflow(self.id))

    async def captures(self, step: Step[..., Any, S, Any] | str, /) -> list[Capture]:
        """Return what a step exchanged with models, in order: what `StepContext.capture` stored with `debug=True`.

        Args:
            step: The step, or its name; `"orders[3]"` is one item of a mapped step.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        return await read(self._database, reports.captures_of(self.id, node_name(step, None)))

    async def pause(self) -> bool:
        """Pause the workflow: no further step starts until `resume`. Running steps continue.

        Returns:
            True; False if the workflow is paused already, or has ended.
        """
        return await self._operate(Action.PAUSE)

    async def resume(self) -> bool:
        """Resume a paused workflow.

        Returns:
            True; False if the workflow is not paused.
        """
        return await self._operate(Action.RESUME)

    async def _operate(self, action: Action) -> bool:
        return bool(await actions.operate(self._database, action, WorkflowFilter(ids=[self.id])))


@final
class SyncWorkflow(Generic[S]):
    """The blocking counterparts of `Workflow`'s methods, on connections of their own."""

    def __init__(self, workflow_id: str, *, database: Database) -> None:
        self.id = workflow_id
        self._database = database

    def status(self) -> WorkflowStatus:
        """See `Workflow.status`."""
        return read_sync(self._database, workflow_reads.status_of(self.id))

    def nodes(self) -> list[NodeStatus]:
        """See `Workflow.nodes`."""
        return read_sync(self._database, workflow_reads.nodes_of(self.id))

    def wait(self, timeout: float | None = None) -> WorkflowStatus:
        """See `Workflow.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._database.sync_connection() as conn:
            hears, looks = self._database.listen(conn), pauses()
            while (status := read_on(conn, self._database, workflow_reads.end_of(self.id))) is None:
                left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
                if left <= 0:
                    raise WorkflowTimeoutError(f'workflow "{self.id}" has not ended within {timeout} s')
                if not hears:
                    time.sleep(min(left, next(looks)))
                    continue
                for notification in conn.notifies(timeout=left):
                    if self.id in notification.payload:
                        break
            return status

    def items(self, step: Step[..., Any, S, Any] | str, /) -> list[NodeStatus]:
        """See `Workflow.items`."""
        return read_sync(self._database, workflow_reads.items_of(self.id, step))

    @overload
    def result[R](self, step: Step[..., R, S, Any], /, index: Index = None) -> R: ...
    @overload
    def result(self, step: str, /, index: Index = None) -> Any: ...
    def result(self, step: Step[..., Any, Any, Any] | str, /, index: Index = None) -> Any:
        """See `Workflow.result`."""
        return read_sync(self._database, workflow_reads.result_of(self.id, step, index))

    @overload
    def results_of[R](
        self, step: Step[..., R, S, Any], /, index: Index = None, *, levels: Literal[1] = 1
    ) -> list[R]: ...
    @overload
    def results_of[R](
        self, step: Step[..., R, S, Any], /, index: Index = None, *, levels: Literal[2]
    ) -> list[list[R]]: ...
    @overload
    def results_of(self, step: str, /, index: Index = None, *, levels: int = 1) -> list[Any]: ...
    def results_of(self, step: Step[..., Any, Any, Any] | str, /, index: Index = None, *, levels: int = 1) -> list[Any]:
        """See `Workflow.results_of`."""
        return read_sync(self._database, workflow_reads.results_of(self.id, step, index, levels))

    def results(self) -> Mapping[str, Any]:
        """See `Workflow.results`."""
        return read_sync(self._database, workflow_reads.all_results_of(self.id))

    def cancel(self) -> bool:
        """See `Workflow.cancel`."""
        return self._operate(Action.CANCEL)

    def retry(self, from_step: Step[..., Any, S, Any] | str | None = None, **how: Unpack[RetryOptions]) -> bool:
        """See `Workflow.retry`."""
        name = _name(from_step)
        for number in range(TRIES):
            done = actions.retry_sync(self._database, WorkflowFilter(ids=[self.id]), from_step=name, **how)
            if done.ids:
                return True
            if name is None:
                return False
            if error := read_sync(self._database, refusal(self.id, name)):
                raise error
            time.sleep(pause_after(number))
        raise RetryError.unexplained(self.id, name or "")

    def rerun[N: str](self, flow: Flow[..., N], /) -> Workflow[N]:
        """See `Workflow.rerun`."""
        inserted = rerun_sync(self._database, WorkflowFilter(ids=[self.id]), flow)
        return Workflow(_new_id(self.id, inserted), database=self._database)

    def why(self, step: Step[..., Any, S, Any] | str | None = None) -> str:
        """See `Workflow.why`."""
        return read_sync(self._database, why_facts.explain(self.id, _name(step)))

    def approve(self, budget: Decimal | int) -> None:
        """See `Workflow.approve`."""
        approve_sync(self._database, self.id, budget)

    def usage(self) -> WorkflowUsage:
        """See `Workflow.usage`."""
        return read_sync(self._database, reports.usage_of_workflow(self.id))

    def captures(self, step: Step[..., Any, S, Any] | str, /) -> list[Capture]:
        """See `Workflow.captures`."""
        return read_sync(self._database, reports.captures_of(self.id, node_name(step, None)))

    def pause(self) -> bool:
        """See `Workflow.pause`."""
        return self._operate(Action.PAUSE)

    def resume(self) -> bool:
        """See `Workflow.resume`."""
        return self._operate(Action.RESUME)

    def _operate(self, action: Action) -> bool:
        return bool(actions.operate_sync(self._database, action, WorkflowFilter(ids=[self.id])))


def _name(step: Step[..., Any, Any, Any] | str | None) -> str | None:
    return None if step is None else node_name(step, None)


def _new_id(workflow_id: str, inserted: Mapping[str, str]) -> str:
    if workflow_id not in inserted:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    return inserted[workflow_id]
