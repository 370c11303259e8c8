"""Steps that take a connection to the database: what they write and their result are one transaction.

The function runs between BEGIN and COMMIT, and before the COMMIT its node settles on the very same connection. So
there is no moment at which one is stored without the other. Whatever keeps the two from being stored rolls back both;
then nothing has happened, and the function may run again without this being another attempt.

This module loads SQLAlchemy, which is why the worker loads this module only for steps that take a connection. Its two
engines serve psycopg's own connections too: they are connected as those of Oban's pool are, but a step may hold one for
hours, and would keep Oban from its own work if it was one of the pool's.
"""

from __future__ import annotations

import asyncio
import logging
import time
import typing
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

import psycopg
import sqlalchemy.exc
from oban import Cancel, Job, Oban, Snooze
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from baton_dsl.annotations import named_class
from baton_dsl.errors import TransactionEndedError
from baton_dsl.runtime.bridge import at_stop, cancellation_of, connecting_of, prefix_of
from baton_dsl.runtime.calling import CANCELLED, in_thread
from baton_dsl.runtime.settle import TRIES, UNANSWERED, Finished, Settler, pause_after

logger = logging.getLogger(__name__)

RUNS: Final = 5
"""Times that a function runs in one attempt, if the database each time gave up only when it had ended."""
SETTLES: Final = 6
"""Tries to settle before the function's writes are given up as well: each waits half a second for a lock."""
IDLE: Final = 5
"""Connections of each kind that are kept. How many there are at once, the limits of the queues say."""

_NO_ANSWER: Final = (
    *UNANSWERED,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
)
_LOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

# The setting lasts as long as the transaction does: one that the step has ended with SQL of its own is found out by it.
_ENTER: Final = """
SELECT set_config('baton.attempt', %s, true), node.outcome, job.state::text, job.attempt
FROM {nodes} AS node LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE node.oban_job_id = %s
"""
_LOOK: Final = """
SELECT current_setting('baton.attempt', true), outcome FROM {nodes} WHERE oban_job_id = %s FOR NO KEY UPDATE
"""

type Ending = Cancel | Snooze | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One attempt of a step that takes a connection."""

    job: Job
    wants: type
    """The class of connection or session that the step takes."""
    has_dict_rows: bool
    function: Callable[[Any], Any]
    finish: Callable[[Any], Finished | Cancel | Snooze]


class _Phase(Enum):
    BEGIN = "begin"
    FUNCTION = "function"
    SETTLE = "settle"


@dataclass(slots=True)
class _Progress:
    """How far a try has come, and whether somebody waits for it still."""

    phase: _Phase = _Phase.BEGIN
    is_given_up: bool = False


class _Unanswered(Exception):  # noqa: N818 - it never leaves this module
    """The database gave no answer, and nothing is stored, or it can't be told."""

    def __init__(self, error: Exception, *, has_run: bool) -> None:
        self.error = error
        self.has_run = has_run


class _Undone(Exception):  # noqa: N818
    """Leaves the transaction, which is rolled back."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class _Overtaken(Exception):  # noqa: N818
    """Leaves the transaction, since the node has settled already; without an outcome, the job is in other hands."""

    def __init__(self, outcome: str | None) -> None:
        self.outcome = outcome


class Effects:
    """Runs functions in the transactions that settle their nodes, for one Oban instance.

    Args:
        oban: The instance, whose database it is.
        settler: Settles its nodes.
    """

    def __init__(self, oban: Oban, settler: Settler) -> None:
        prefix = prefix_of(oban)
        tables = {"nodes": sql.Identifier(prefix, "workflow_nodes"), "jobs": sql.Identifier(prefix, "oban_jobs")}
        self._enter = sql.SQL(_ENTER).format(**tables)
        self._look = sql.SQL(_LOOK).format(**tables)
        self._settler = settler
        self._engine = _engine(oban)
        self._async_engine = _async_engine(oban)
        self._is_closed = False
        at_stop(oban, self.close)

    async def close(self) -> None:
        """Close the connections that are idle now, and every other one when its step has ended."""
        self._is_closed = True
        self._engine.dispose()
        await self._async_engine.dispose()

    async def run(
        self,
        job: Job,
        *,
        annotation: Any,
        is_async: bool,
        function: Callable[[Any], Any],
        finish: Callable[[Any], Finished | Cancel | Snooze],
        overtaken: Callable[[str], Ending],
    ) -> Ending:
        """Run one attempt: call the function, and settle its node, in one transaction.

        Args:
            job: The job.
            annotation: What the step takes: a class of connections or sessions.
            is_async: Whether the step is.
            function: Calls it with the connection; gives a coroutine if it is async.
            finish: Makes of what it returned what is to be settled, or Oban's `Cancel` or `Snooze`.
            overtaken: What the attempt ends with if its node has settled before, by that outcome.

        Returns:
            None once the node is settled; what the function returned if that is Oban's `Cancel` or `Snooze`.

        Raises:
            TransactionEndedError: BTN510, if the function ended the transaction with SQL of its own.
            Exception: What the function raised, or the database said last; then nothing is stored.
        """
        wants, arguments = named_class(annotation)
        assert wants is not None
        work = _Work(
            job=job,
            wants=wants,
            has_dict_rows=any((typing.get_origin(item) or item) is dict for item in arguments),
            function=function,
            finish=finish,
        )
        runs = 0
        for number in range(TRIES):
            progress = _Progress()
            try:
                return await (self._run_async if is_async else self._run_sync)(work, progress)
            except _Overtaken as settled:
                if settled.outcome == "completed" and runs:  # perhaps by us, but for the answer: who was claimed?
                    await self._settler.settle([Finished(job, "null")], is_again=True)
                return overtaken(settled.outcome) if settled.outcome is not None else None
            except _Unanswered as unanswered:
                runs += unanswered.has_run
                if number == TRIES - 1 or runs == RUNS:
                    raise unanswered.error from None
                asked = cancellation_of(job)
                if asked is not None and asked.is_set():
                    return Cancel(CANCELLED)
                pause = pause_after(number)
                what = "the function runs again" if unanswered.has_run else "a connection is asked for again"
                logger.warning("%s in %.2f s: %s", what, pause, str(unanswered.error).strip())
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _check_entered(self, work: _Work, row: tuple[Any, ...] | None) -> None:
        _, outcome, state, attempt = row or (None, None, None, None)
        if outcome is not None or state != "executing" or attempt != work.job.attempt:
            raise _Overtaken(outcome)

    def _check_look(self, work: _Work, row: tuple[Any, ...] | None) -> None:
        token, outcome = row or (None, None)
        if token != _token(work):
            raise _ended()
        if outcome is not None:
            raise _Overtaken(outcome)

    # -- sync, in a thread --------------------------------------------------------------------------------------

    async def _run_sync(self, work: _Work, progress: _Progress) -> Ending:
        try:
            return await in_thread(partial(self._in_thread, work, progress, asyncio.get_running_loop()))
        except asyncio.CancelledError:  # a timeout, or the worker stops; the thread goes on, and rolls back
            progress.is_given_up = True
            raise

    def _in_thread(self, work: _Work, progress: _Progress, loop: asyncio.AbstractEventLoop) -> Ending:
        with _telling(progress), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                with driver.transaction():
                    finished = self._function(work, progress, connection, driver)
                    rows = self._settle(work, driver, finished)
            except _Undone as undone:
                return undone.ending
            finally:
                if progress.is_given_up or self._is_closed or driver.closed:
                    connection.invalidate()
            with suppress(RuntimeError):  # the loop is closed: the process ends, and others take what was claimed
                loop.call_soon_threadsafe(self._settler.heed, [finished], rows)
        return None

    def _function(
        self, work: _Work, progress: _Progress, connection: Connection, driver: psycopg.Connection[Any]
    ) -> Finished:
        row = driver.cursor(row_factory=tuple_row).execute(self._enter, (_token(work), work.job.id)).fetchone()
        self._check_entered(work, row)
        progress.phase = _Phase.FUNCTION
        finished = _called(work, progress, connection, driver)
        if not isinstance(finished, Finished):
            raise _Undone(finished)
        if progress.is_given_up:
            raise _Undone(None)
        return finished

    def _settle(self, work: _Work, driver: psycopg.Connection[Any], finished: Finished) -> list[tuple[Any, ...]]:
        for number in range(SETTLES):
            if driver.info.transaction_status == TransactionStatus.IDLE:
                raise _ended()
            try:
                with driver.transaction():  # a savepoint: what is given back for a lock are not the function's writes
                    cursor = driver.cursor(row_factory=tuple_row)
                    self._check_look(work, cursor.execute(self._look, (work.job.id,)).fetchone())
                    values = (*self._settler.values([finished]), False)
                    return cursor.execute(self._settler.statement, values).fetchall()
            except _LOCKED:
                if number == SETTLES - 1:
                    raise
            time.sleep(pause_after(number))
        raise AssertionError("unreachable")

    # -- async --------------------------------------------------------------------------------------------------

    async def _run_async(self, work: _Work, progress: _Progress) -> Ending:
        """Run it in a task of its own: a timeout cancels the function, but no settle, which may be stored already."""
        return await _to_its_end(self._on_the_loop(work, progress), progress)

    async def _on_the_loop(self, work: _Work, progress: _Progress) -> Ending:
        with _telling(progress):
            async with self._async_engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert isinstance(driver, psycopg.AsyncConnection)
                try:
                    async with driver.transaction():
                        finished = await self._async_function(work, progress, connection, driver)
                        rows = await self._async_settle(work, driver, finished)
                except _Undone as undone:
                    return undone.ending
                finally:
                    if self._is_closed or driver.closed:
                        await connection.invalidate()
                self._settler.heed([finished], rows)
        return None

    async def _async_function(
        self, work: _Work, progress: _Progress, connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]
    ) -> Finished:
        cursor = await driver.cursor(row_factory=tuple_row).execute(self._enter, (_token(work), work.job.id))
        self._check_entered(work, await cursor.fetchone())
        progress.phase = _Phase.FUNCTION
        finished = await _async_called(work, progress, connection, driver)
        if not isinstance(finished, Finished):
            raise _Undone(finished)
        return finished

    async def _async_settle(
        self, work: _Work, driver: psycopg.AsyncConnection[Any], finished: Finished
    ) -> list[tuple[Any, ...]]:
        for number in range(SETTLES):
            if driver.info.transaction_status == TransactionStatus.IDLE:
                raise _ended()
            try:
                async with driver.transaction():
                    cursor = driver.cursor(row_factory=tuple_row)
                    await cursor.execute(self._look, (work.job.id,))
                    self._check_look(work, await cursor.fetchone())
                    values = (*self._settler.values([finished]), False)
                    await cursor.execute(self._settler.statement, values)
                    return await cursor.fetchall()
            except _LOCKED:
                if number == SETTLES - 1:
                    raise
            await asyncio.sleep(pause_after(number))
        raise AssertionError("unreachable")


async def _to_its_end(coroutine: Coroutine[Any, Any, Ending], progress: _Progress) -> Ending:
    """Await a try; a cancellation reaches it unless it is settling, and then it is waited for."""
    task = asyncio.create_task(coroutine)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if progress.phase is not _Phase.SETTLE:
                task.cancel()
        except Exception:  # noqa: BLE001 - `result` raises it
            break
    return task.result()


@contextmanager
def _telling(progress: _Progress) -> Iterator[None]:
    """Tell what the database did not answer apart from what the function raised."""
    try:
        yield
    except _NO_ANSWER as error:
        if progress.phase is _Phase.FUNCTION:
            raise
        raise _Unanswered(error, has_run=progress.phase is _Phase.SETTLE) from error


def _token(work: _Work) -> str:
    return f"{work.job.id}:{work.job.attempt}"


def _ended() -> TransactionEndedError:
    return TransactionEndedError("the step has ended the transaction that it was given, with SQL of its own")


# --- what the function gets ------------------------------------------------------------------------------------------

# A transaction block of psycopg is around all of it: in it, commit() and rollback() of psycopg and of a SQLAlchemy
# connection raise an error. Those of a session end a savepoint: code that commits works, and breaks no promise.


def _called(
    work: _Work, progress: _Progress, connection: Connection, driver: psycopg.Connection[Any]
) -> Finished | Cancel | Snooze:
    """Call the function, and hand to the database what a session has kept back."""
    if issubclass(work.wants, psycopg.Connection):
        driver.row_factory = dict_row if work.has_dict_rows else tuple_row
        try:
            value = work.function(driver)
        finally:
            driver.row_factory = tuple_row
        progress.phase = _Phase.SETTLE
        return work.finish(value)
    connection.begin()
    if not issubclass(work.wants, Session):
        value = work.function(connection)
        progress.phase = _Phase.SETTLE
        return work.finish(value)
    session = work.wants(bind=connection, join_transaction_mode="create_savepoint")
    try:
        value = work.function(session)
        progress.phase = _Phase.SETTLE
        if not isinstance(value, Cancel | Snooze):
            session.flush()
        finished = work.finish(value)  # before the session forgets what its objects hold
        if isinstance(finished, Finished):
            session.commit()
    except BaseException:
        with suppress(Exception):  # the connection may be lost
            session.close()
        raise
    session.close()
    return finished


async def _async_called(
    work: _Work, progress: _Progress, connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]
) -> Finished | Cancel | Snooze:
    if issubclass(work.wants, psycopg.AsyncConnection):
        driver.row_factory = dict_row if work.has_dict_rows else tuple_row
        try:
            value = await work.function(driver)
        finally:
            driver.row_factory = tuple_row
        progress.phase = _Phase.SETTLE
        return work.finish(value)
    await connection.begin()
    if not issubclass(work.wants, AsyncSession):
        value = await work.function(connection)
        progress.phase = _Phase.SETTLE
        return work.finish(value)
    # Objects that expire at a commit would be read anew, which an async session can't do on the way.
    session = work.wants(bind=connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
    try:
        value = await work.function(session)
        progress.phase = _Phase.SETTLE
        if not isinstance(value, Cancel | Snooze):
            await session.flush()
        finished = work.finish(value)
        if isinstance(finished, Finished):
            await session.commit()
    except BaseException:
        with suppress(Exception):
            await session.close()
        raise
    await session.close()
    return finished


# --- where connections come from -------------------------------------------------------------------------------------

_URL: Final = "postgresql+psycopg://"
_POOL: Final = {"pool_size": IDLE, "max_overflow": -1}


def _engine(oban: Oban) -> Engine:
    engine = create_engine(_URL, **_POOL)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> psycopg.Connection[Any]:
        # In the step's thread. Oban is asked each time: a password may change between two connects.
        return psycopg.connect(**options, **asyncio.run(connecting_of(oban)))

    return engine


def _async_engine(oban: Oban) -> AsyncEngine:
    async def connect(*_args: object, **options: Any) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(**options, **await connecting_of(oban))

    return create_async_engine(_URL, connect_args={"async_creator_fn": connect}, **_POOL)
