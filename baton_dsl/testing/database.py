"""`BatonDatabase`: runs flows on a real PostgreSQL, for tests. The fixture `baton_db` is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Literal, cast, final, overload

import psycopg
from oban import Job, Oban
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from baton_dsl.core import defaults
from baton_dsl.core.items import item_of, step_of
from baton_dsl.errors import ReplacementError, RunError
from baton_dsl.flow import Flow
from baton_dsl.reflect import signature
from baton_dsl.runtime import embedded, schema
from baton_dsl.runtime.executing.calling import call
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.observing.results import Index
from baton_dsl.runtime.observing.status import NodeStatus
from baton_dsl.runtime.values.names import WORKERS, load_step, worker_name
from baton_dsl.runtime.workflow import Workflow
from baton_dsl.status import WorkflowStatus
from baton_dsl.step import Step
from baton_dsl.testing.engine import Call
from baton_dsl.testing.pictures import picture
from baton_dsl.testing.replacing import Given, Replacements
from baton_dsl.testing.run import AnyStep, Key

SLOTS: Final = 10
"""How many jobs of a queue run at once, as with `baton run`."""
PATIENCE: Final = 60.0
"""Real seconds within which a workflow must progress by at least one step."""

# If nothing in the workflow can happen before its next job is due, time is skipped: the job is made due now, and the
# # waiting time is only counted.
_SKIP: Final = """
WITH own AS MATERIALIZED (
    SELECT id, state, scheduled_at, queue FROM oban_jobs WHERE meta ->> 'workflow_id' = %(id)s
),
due AS (
    SELECT min(scheduled_at) AS moment FROM own
    WHERE state IN ('scheduled', 'retryable')
        AND NOT EXISTS (SELECT FROM own WHERE state IN ('available', 'executing'))
),
moved AS (
    UPDATE oban_jobs AS job SET state = 'available', scheduled_at = timezone('UTC', now())
    FROM own, due
    WHERE job.id = own.id AND own.state IN ('scheduled', 'retryable') AND own.scheduled_at <= due.moment
    RETURNING job.queue
)
SELECT extract(epoch FROM (SELECT moment FROM due) - timezone('UTC', now())),
    (SELECT count(pg_notify('public.oban_insert', json_build_object('queue', queue)::text)) FROM moved)
"""


@final
class BatonServer:
    """A PostgreSQL that tests share: an embedded one, or that of `BATON_TEST_DSN`, whose user must have CREATEDB."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._dsn: str | None = None
        self._template = f"baton_test_{token_hex(6)}"

    def __enter__(self) -> BatonServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._dsn is not None:
            with suppress(psycopg.Error), psycopg.connect(self._dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(self._template)))
        self._stack.close()

    @property
    def dsn(self) -> str:
        """The connection string of the server, which is started on first access."""
        if self._dsn is None:
            dsn = os.environ.get("BATON_TEST_DSN")
            if not dsn:
                folder = Path(tempfile.mkdtemp(prefix="baton-test-"))
                self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
                dsn = self._stack.enter_context(embedded.serve(folder / "postgres"))
                _without_durability(dsn)
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._template)))
            schema.install(make_conninfo(dsn, dbname=self._template))
            self._dsn = dsn
        return self._dsn

    @contextmanager
    def database(self) -> Iterator[BatonDatabase]:
        """Create a database with the tables of Oban and baton-dsl, and drop it afterwards."""
        name = f"{self._template}_{token_hex(4)}"
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            conn.execute(made.format(sql.Identifier(name), sql.Identifier(self._template)))
        database = BatonDatabase(make_conninfo(self.dsn, dbname=name))
        try:
            yield database
        finally:
            database.close()
            with psycopg.connect(self.dsn, autocommit=True) as conn:
                conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _without_durability(dsn: str) -> None:
    """Let a server that serves this run alone write nothing for a crash: databases are made and dropped faster."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            conn.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        conn.execute("SELECT pg_reload_conf()")


@final
class BatonDatabase:
    """Runs flows on a database as a worker does, with replacements for steps, and without waiting for backoffs.

    Attributes:
        dsn: The connection string of the database, which only this object uses.
        runs: The runs so far.
        sync: The blocking counterparts of the methods, for tests that are not coroutines.

    Example:
        ```python
        async def test_billing(baton_db):
            run = await baton_db.run(billing, api_key="x", replace={charge: 12})
            assert run.outcome == "completed"
        ```
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.runs: list[DatabaseRun] = []
        self.sync = SyncBatonDatabase(self)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="baton-db")
        self._runner = asyncio.Runner()
        self._name = f"baton-test-{token_hex(4)}"
        self._replaced: dict[str, Replacements] = {}
        self._replaced_steps: list[AnyStep] = []
        self._calls: dict[str, list[Call]] = {}
        self._is_closed = False

    async def run(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        **inputs: Any,
    ) -> DatabaseRun:
        """Run a workflow of a flow to its end; see `Baton.run`."""
        started = await asyncio.to_thread(self.start, flow, replace=replace, **inputs)
        return await asyncio.to_thread(started.work, queues)

    def start(self, flow: Flow[..., Any], /, *, replace: Given | None = None, **inputs: Any) -> DatabaseRun:
        """Insert a workflow of a flow, but do not run it yet; `DatabaseRun.work` runs it."""
        replacements = Replacements(flow, replace)
        with psycopg.connect(self.dsn) as conn:
            inserted = flow.options(prefix="public").insert(conn, **inputs)
        workflow = Workflow.load(inserted.id, dsn=self.dsn, prefix="public")
        self._replaced[workflow.id] = replacements
        self._stand_in(flow, replacements)
        run = DatabaseRun(self, flow, workflow, self._calls.setdefault(workflow.id, []))
        self.runs.append(run)
        return run

    def _stand_in(self, flow: Flow[..., Any], replacements: Replacements) -> None:
        """Install the replacements in the steps that workers import."""
        for entry in flow.entries:
            if not isinstance(entry.step, Step):
                if replacements.replaces(entry.name):
                    raise ReplacementError(f'"{entry.name}" is a plain job, which only a run in memory can replace')
                continue
            step = load_step(worker_name(entry.step).removeprefix(WORKERS))
            if not step.is_async and any(it.access for it in signature(step).parameters):
                if replacements.replaces(entry.name):
                    raise ReplacementError(f'"{entry.name}" takes a connection, so only a run in memory can replace it')
                continue
            if step.stand_in is None:
                self._replaced_steps.append(step)
            step.stand_in = self._asker(step)

    def _asker(self, step: AnyStep) -> Callable[[Job, Mapping[str, Any]], Coroutine[Any, Any, Any]]:
        own = step.named(step.name)
        own.stand_in = None

        async def ask(job: Job, arguments: Mapping[str, Any]) -> Any:
            workflow_id, node = job.meta["workflow_id"], job.meta["workflow_name"]
            calls = self._calls.setdefault(workflow_id, [])
            calls.append(Call(node, job.attempt, dict(arguments)))
            replacements = self._replaced.get(workflow_id)
            number = sum(call.node == node for call in calls)
            answer = None if replacements is None else replacements.answer(node, number)
            return await (call(own, job, arguments) if answer is None else answer.give(own, job, arguments))

        return ask

    async def serve(self, queues: Mapping[str, int], until: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Run the jobs of some queues until a condition is true."""
        pool = await Oban.create_pool(self.dsn, min_size=2, max_size=8)
        instance = Oban(pool=pool, queues=dict(queues), name=self._name, shutdown_grace_period=1.0)
        try:
            async with instance:
                while not await until():  # noqa: ASYNC110 - the condition is in the database
                    await asyncio.sleep(0.005)
        finally:
            bridge.forget(instance)
            await pool.close()

    def block_on[T](self, doing: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop of this database, which has its own thread."""
        return self._thread.submit(lambda: self._runner.run(doing())).result()

    def close(self) -> None:
        """Remove the replacements, and close the connections."""
        if self._is_closed:
            return
        self._is_closed = True
        for step in self._replaced_steps:
            step.stand_in = None
        self._replaced_steps.clear()
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


@final
class SyncBatonDatabase:
    """The blocking counterparts of `BatonDatabase`'s methods."""

    def __init__(self, database: BatonDatabase) -> None:
        self._database = database

    def run(
        self,
        flow: Flow[..., Any],
        /,
        *,
        replace: Given | None = None,
        queues: Mapping[str, int] | None = None,
        **inputs: Any,
    ) -> DatabaseRun:
        """See `BatonDatabase.run`."""
        return self._database.start(flow, replace=replace, **inputs).work(queues)


@final
class DatabaseRun:
    """One workflow on a database. It has the same properties as `Run` in memory.

    Attributes:
        workflow: The handle of the workflow.
    """

    def __init__(
        self, database: BatonDatabase, flow: Flow[..., Any], workflow: Workflow[Any], calls: list[Call]
    ) -> None:
        self.workflow = workflow
        self._database = database
        self._flow = flow
        self._calls = calls
        self._skipped = 0.0

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.workflow.id

    @property
    def outcome(self) -> str | None:
        """How the workflow ended; None while it has not."""
        return self.status.outcome

    @property
    def status(self) -> WorkflowStatus:
        """The status of the workflow."""
        return self.workflow.sync.status()

    @property
    def nodes(self) -> list[NodeStatus]:
        """The status of each step."""
        return self.workflow.sync.nodes()

    def items(self, step: AnyStep | str, /) -> list[NodeStatus]:
        """The status of each item of a mapped step."""
        return self.workflow.sync.items(step)

    @property
    def elapsed(self) -> timedelta:
        """The time from its insert to its end, including the skipped waiting times."""
        status = self.status
        ended = status.settled_at
        return (timedelta() if ended is None else ended - status.inserted_at) + timedelta(seconds=self._skipped)

    @property
    def results(self) -> Mapping[str, Any]:
        """The results of all completed steps, by name."""
        return self.workflow.sync.results()

    def __getitem__(self, key: Key) -> Any:
        """The result of a step; see `Run`."""
        step, index = key if isinstance(key, tuple) else (key, None)
        return self.workflow.sync.result(step, index)

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
        """The results of a mapped step; see `Run.results_of`."""
        found: list[Any] = self.workflow.sync.results_of(cast("Any", step), index, levels=levels)
        return found

    def attempts(self, step: AnyStep | str, /, index: Index = None) -> int:
        """How many attempts a step has used; for a mapped step without an index, the total of all items."""
        return sum(node.attempt for node in self._nodes(step, index))

    def calls(self, step: AnyStep | str, /) -> list[Call]:
        """All calls of a step, in order, with their arguments."""
        name = step.name if isinstance(step, Step) else step
        return [call for call in self._calls if step_of(call.node) == name]

    def errors(self, step: AnyStep | str, /, index: Index = None) -> list[str]:
        """The last error of a step."""
        return [node.error for node in self._nodes(step, index) if node.error]

    def _nodes(self, step: AnyStep | str, index: Index) -> list[NodeStatus]:
        name = step.name if isinstance(step, Step) else step
        if index is not None:
            item = item_of(name, index if isinstance(index, tuple) else (index,))
            return [node for node in self.items(name) if node.step == item]
        return self.items(name) or [node for node in self.nodes if node.step == name]

    def why(self, step: AnyStep | str | None = None, /) -> str:
        """Explain what the workflow or a step is waiting for, or why it ended."""
        return self.workflow.sync.why(step)

    def __str__(self) -> str:
        return picture(self._flow.spec(), self.nodes)

    def __repr__(self) -> str:
        return f"<run of {self._flow.name!r} on a database: {self.outcome or 'not ended'}>"

    def work(self, queues: Mapping[str, int] | None = None) -> DatabaseRun:
        """Run the jobs of the workflow until it has ended.

        Args:
            queues: How many jobs of each queue run at once; default: 10.

        Raises:
            RunError: BTN602, if nothing has happened in the workflow for a minute.
        """
        limits = dict.fromkeys(self._queues(), SLOTS) | dict(queues or {})
        seen: dict[str, Any] = {"at": time.monotonic(), "counts": None}

        async def has_ended() -> bool:
            status = await self.workflow.status()
            if status.outcome is not None:
                return True
            if status.counts != seen["counts"]:
                seen.update(at=time.monotonic(), counts=status.counts)
            elif time.monotonic() - seen["at"] > PATIENCE:
                raise RunError(f"nothing has happened for {PATIENCE:g} s: {await self.workflow.why()}")
            await self._skip_time()
            return False

        self._database.block_on(lambda: self._database.serve(limits, has_ended))
        return self

    def _queues(self) -> set[str]:
        with psycopg.connect(self._database.dsn, autocommit=True) as conn:
            found = sql.SQL("SELECT DISTINCT queue FROM oban_jobs").as_string(conn)
            rows = conn.cursor(row_factory=tuple_row).execute(found.encode()).fetchall()
        maps = {
            entry.step.options.get("queue", defaults.QUEUE)
            for entry in self._flow.entries
            if isinstance(entry.step, Step)
        }
        return {str(row[0]) for row in rows} | maps | {self._flow.settings.hook_queue}

    async def _skip_time(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._database.dsn, autocommit=True) as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            row = await (await cursor.execute(_SKIP, {"id": self.id})).fetchone()
        if row is not None and row[0] is not None and row[1]:
            self._skipped += max(float(row[0]), 0.0)
