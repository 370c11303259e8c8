"""`Workflow`: the handle on one inserted execution of a flow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, cast, final, overload

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Select
from typing_extensions import TypeVar

from baton_dsl.core.diagnostics import did_you_mean, quoted
from baton_dsl.errors import (
    ResultNotReadyError,
    StepNotInWorkflowError,
    WorkflowNotFoundError,
    WorkflowTimeoutError,
)
from baton_dsl.reflect import signature
from baton_dsl.runtime import payload, reads
from baton_dsl.runtime.database import Database
from baton_dsl.runtime.operating import Action, Which, operate, operate_sync
from baton_dsl.runtime.worker import step_of_worker
from baton_dsl.status import WorkflowStatus as WorkflowStatus
from baton_dsl.step import Step

POLL: Final = 5.0
"""Seconds between two looks of `wait`, in case a notification was lost with a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How far one node has come.

    Attributes:
        step: The name of its step.
        state: Oban's: `suspended` (waits for upstreams), `scheduled`, `available`, `executing`, `retryable`,
            `completed`, `cancelled` or `discarded`.
        deps: The names of its upstreams.
        attempt: How often it was tried.
        max_attempts: After how many tries it is discarded.
        queue: The queue of its job; None once the job is pruned, as are the three before `settled_at`.
        worker: The job's worker.
        error: The last error, if there was one.
        attempted_at: When the last try began.
        scheduled_at: When it may run, at the earliest.
        settled_at: When it settled; None until then.
    """

    step: str
    state: str
    deps: tuple[str, ...]
    attempt: int
    max_attempts: int
    queue: str | None
    worker: str
    error: str | None
    attempted_at: datetime | None
    scheduled_at: datetime | None
    settled_at: datetime | None


S = TypeVar("S", bound=str, default=str)


@final
class Workflow(Generic[S]):
    """One inserted execution of a flow, as `Flow.insert` returns it or `Workflow.load` finds it.

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
        """The handle on a workflow that was inserted before, perhaps by another process. Nothing is read yet.

        Args:
            workflow_id: Its id.
            dsn: The database; default: that of the Oban instance, else of `BATON_DSN` or `OBAN_DSN`.
            prefix: The schema of Oban's tables; default: that of the Oban instance, else of `OBAN_PREFIX`.
            oban: The name of the Oban instance whose pool serves.

        Raises:
            DatabaseNotConfiguredError: BTN411, if no database is named anywhere.
        """
        return Workflow(workflow_id, database=Database.configured(dsn=dsn, prefix=prefix, oban=oban))

    async def status(self) -> WorkflowStatus:
        """How far the workflow has come.

        Raises:
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        rows = await self._read(reads.WORKFLOW)
        return _status(self.id, rows, await self._read(reads.COUNTS))

    async def nodes(self) -> list[NodeStatus]:
        """How far each node has come, in topological order."""
        return list(map(_node, await self._read(reads.NODES)))

    async def wait(self, timeout: float | None = None) -> WorkflowStatus:  # noqa: ASYNC109 - the sync one has it too
        """Wait until every node has settled.

        A notification wakes it; should one be lost with its connection, it looks by itself every `POLL` seconds.

        Args:
            timeout: Seconds to wait at the most; None waits for ever.

        Raises:
            WorkflowTimeoutError: BTN412, a `TimeoutError`.
            WorkflowNotFoundError: BTN407, if there is no such workflow.
        """
        try:
            async with asyncio.timeout(timeout) as deadline, self._database.endings(self.id) as ended:
                while (await self._outcome()) is None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), POLL)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise WorkflowTimeoutError(f'workflow "{self.id}" has not ended within {timeout} s') from None
        return await self.status()

    @overload
    async def result[R](self, step: Step[..., R, S, Any], /) -> R: ...
    @overload
    async def result(self, step: str, /) -> Any: ...
    async def result(self, step: Step[..., Any, Any, Any] | str, /) -> Any:
        """The result of a step that has completed, as its return annotation has it.

        Args:
            step: The step, or its name in the flow; by name, the result is decoded with the annotation of the step
                that ran, if its code is here.

        Raises:
            StepNotInWorkflowError: BTN408, if the workflow has no such step.
            ResultNotReadyError: BTN409, if it has not completed.
            StoredValueError: BTN504, if the stored result does not validate any more.
        """
        name = step if isinstance(step, str) else step.name
        rows = await self._read(reads.RESULT, step_name=name)
        return _result(self.id, step, rows or await self._read(reads.STEP_NAMES))

    async def results(self) -> Mapping[str, Any]:
        """The results of all steps that have completed, by name, in topological order."""
        return _results(await self._read(reads.RESULTS))

    async def cancel(self) -> bool:
        """Cancel every step that has not started. A running one sees `StepContext.cancelled()`, and is not tried again.

        Calling it again tells the running steps again, should their node not have heard.

        Returns:
            True; False if the workflow has ended already, or there is none.
        """
        return await self._operate(Action.CANCEL)

    async def retry(self) -> bool:
        """Let every step run again that was cancelled or discarded. Results that are stored stay.

        A step whose job Oban has pruned can't come back, nor can what it keeps from running.

        Returns:
            True; False if there is nothing to retry.
        """
        return await self._operate(Action.RETRY)

    async def pause(self) -> bool:
        """Let no step start until `resume`. What runs goes on.

        Returns:
            True; False if the workflow is paused already, or has ended.
        """
        return await self._operate(Action.PAUSE)

    async def resume(self) -> bool:
        """End a pause.

        Returns:
            True; False if the workflow is not paused.
        """
        return await self._operate(Action.RESUME)

    async def _operate(self, action: Action) -> bool:
        return bool(await operate(self._database, action, Which(ids=[self.id])))

    async def _outcome(self) -> str | None:
        rows = await self._read(reads.WORKFLOW)
        return cast("str | None", _workflow_row(self.id, rows)["outcome"])

    async def _read(self, statement: Select[*tuple[Any, ...]], **parameters: Any) -> list[dict[str, Any]]:
        text, values = reads.query(statement, self._database.prefix, workflow_id=self.id, **parameters)
        async with self._database.connection() as conn:
            cursor = conn.cursor(row_factory=dict_row)
            return await (await cursor.execute(text, values)).fetchall()


@final
class SyncWorkflow(Generic[S]):
    """The blocking counterparts of `Workflow`'s methods, on connections of their own."""

    def __init__(self, workflow_id: str, *, database: Database) -> None:
        self.id = workflow_id
        self._database = database

    def status(self) -> WorkflowStatus:
        """See `Workflow.status`."""
        with self._database.sync_connection() as conn:
            rows = self._read(conn, reads.WORKFLOW)
            return _status(self.id, rows, self._read(conn, reads.COUNTS))

    def nodes(self) -> list[NodeStatus]:
        """See `Workflow.nodes`."""
        with self._database.sync_connection() as conn:
            return list(map(_node, self._read(conn, reads.NODES)))

    def wait(self, timeout: float | None = None) -> WorkflowStatus:
        """See `Workflow.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._database.sync_connection() as conn:
            conn.execute(sql.SQL("LISTEN {}").format(self._database.channel))
            while _workflow_row(self.id, self._read(conn, reads.WORKFLOW))["outcome"] is None:
                left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
                if left <= 0:
                    raise WorkflowTimeoutError(f'workflow "{self.id}" has not ended within {timeout} s')
                for notification in conn.notifies(timeout=left):
                    if self.id in notification.payload:
                        break
        return self.status()

    @overload
    def result[R](self, step: Step[..., R, S, Any], /) -> R: ...
    @overload
    def result(self, step: str, /) -> Any: ...
    def result(self, step: Step[..., Any, Any, Any] | str, /) -> Any:
        """See `Workflow.result`."""
        name = step if isinstance(step, str) else step.name
        with self._database.sync_connection() as conn:
            rows = self._read(conn, reads.RESULT, step_name=name)
            return _result(self.id, step, rows or self._read(conn, reads.STEP_NAMES))

    def results(self) -> Mapping[str, Any]:
        """See `Workflow.results`."""
        with self._database.sync_connection() as conn:
            return _results(self._read(conn, reads.RESULTS))

    def cancel(self) -> bool:
        """See `Workflow.cancel`."""
        return self._operate(Action.CANCEL)

    def retry(self) -> bool:
        """See `Workflow.retry`."""
        return self._operate(Action.RETRY)

    def pause(self) -> bool:
        """See `Workflow.pause`."""
        return self._operate(Action.PAUSE)

    def resume(self) -> bool:
        """See `Workflow.resume`."""
        return self._operate(Action.RESUME)

    def _operate(self, action: Action) -> bool:
        return bool(operate_sync(self._database, action, Which(ids=[self.id])))

    def _read(
        self, conn: psycopg.Connection[Any], statement: Select[*tuple[Any, ...]], **parameters: Any
    ) -> list[dict[str, Any]]:
        text, values = reads.query(statement, self._database.prefix, workflow_id=self.id, **parameters)
        return conn.cursor(row_factory=dict_row).execute(text, values).fetchall()


def _workflow_row(workflow_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    return rows[0]


def _status(workflow_id: str, rows: Sequence[dict[str, Any]], counts: Sequence[dict[str, Any]]) -> WorkflowStatus:
    row = _workflow_row(workflow_id, rows)
    return WorkflowStatus(
        id=workflow_id,
        name=row["workflow_label"],
        flow=row["flow_name"],
        outcome=row["outcome"],
        counts={count["state"]: count["count"] for count in counts},
        inserted_at=row["inserted_at"],
        settled_at=row["settled_at"],
    )


def _node(row: dict[str, Any]) -> NodeStatus:
    return NodeStatus(
        step=row["step_name"],
        state=row["state"],
        deps=tuple(row["deps"]),
        attempt=row["attempt"] or 0,
        max_attempts=row["max_attempts"] or 0,
        queue=row["queue"],
        worker=row["worker"],
        error=row["error"],
        attempted_at=_in_utc(row["attempted_at"]),
        scheduled_at=_in_utc(row["scheduled_at"]),
        settled_at=row["updated_at"] if row["outcome"] else None,
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _result(workflow_id: str, step: Step[..., Any, Any, Any] | str, rows: Sequence[dict[str, Any]]) -> Any:
    name = step if isinstance(step, str) else step.name
    if not rows:
        raise WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    if "outcome" not in rows[0]:  # the names of the steps that it does have
        names = [row["step_name"] for row in rows]
        nearest = did_you_mean(name, names)
        raise StepNotInWorkflowError(
            f'workflow "{workflow_id}" has no step "{name}"',
            remedy=f'did you mean "{nearest}"?' if nearest else f"it has {quoted(names)}",
        )
    row = rows[0]
    if row["outcome"] != "completed":
        ended = f"was {row['outcome']}" if row["outcome"] else "has not completed"
        raise ResultNotReadyError(
            f'step "{name}" {ended}, so it has no result',
            remedy="see its error in workflow.nodes()" if row["outcome"] else None,
        )
    run = step_of_worker(row["worker"]) if isinstance(step, str) else step
    return _decode(name, run, row["result"])


def _results(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {row["step_name"]: _decode(row["step_name"], step_of_worker(row["worker"]), row["result"]) for row in rows}


def _decode(name: str, step: Step[..., Any, Any, Any] | None, text: str | None) -> Any:
    annotation = signature(step).returns if step is not None else Any
    return payload.decode_result(name, "result", name, annotation, text)
