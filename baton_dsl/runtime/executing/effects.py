"""Run steps that take a database connection: their writes and their result are one transaction.

The function runs between BEGIN and COMMIT, and its node settles on the same connection before the COMMIT. So neither is
ever stored without the other. If they can't be stored, both are rolled back: then nothing has happened, and the
function may run again within the same attempt.

This module loads SQLAlchemy, so the worker imports it only for steps that take a connection. Its two engines provide
psycopg's connections too. They connect as Oban's pool does, but are separate from it: a step may hold a connection for
hours, and Oban needs its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
import typing
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
import sqlalchemy.exc
from oban import Cancel, Job, Oban, Snooze
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from baton_dsl.annotations import named_class
from baton_dsl.errors import TransactionEndedError
from baton_dsl.runtime.database.answers import may_pass
from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.database.retrying import TRIES, pause_after
from baton_dsl.runtime.database.silence import SilenceError
from baton_dsl.runtime.executing.calling import CANCELLED, in_thread
from baton_dsl.runtime.executing.sessions import Phase, Progress, Work, async_called, async_engine, called, sync_engine
from baton_dsl.runtime.executing.settle import Finished, Settler
from baton_dsl.runtime.oban.bridge import at_stop, cancellation_of, prefix_of
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)

RUNS: Final = 5
"""How often a function runs in one attempt, if the database fails each time after the function has returned."""
SETTLES: Final = 6
"""Tries to settle before the function's writes are rolled back too; each waits half a second for a lock."""

_LOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

# The settings last until the end of the transaction. The first one shows whether the step has ended the transaction
# with # its own SQL. The others turn off limits of the database or the role that would end the transaction while the
# step # computes. The limit for a single statement stays for the step, but not for the settle.
_ENTER: Final = """
SELECT set_config('baton.attempt', %s, true), node.outcome, job.state::text, job.attempt,
    set_config('idle_in_transaction_session_timeout', '0', true),
    CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL THEN
        set_config('transaction_timeout', '0', true)
    END
FROM baton.workflow_nodes AS node LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE node.oban_job_id = %s
"""
_LOOK: Final = """
SELECT current_setting('baton.attempt', true), outcome, set_config('statement_timeout', '0', true)
FROM baton.workflow_nodes WHERE oban_job_id = %s FOR NO KEY UPDATE
"""

type Ending = Cancel | Snooze | None


class _Unanswered(Exception):  # noqa: N818 - it never leaves this module
    """The database did not answer. Nothing is stored, or it is unknown whether something is."""

    def __init__(self, error: Exception, *, has_run: bool) -> None:
        self.error = error
        self.has_run = has_run


class _Undone(Exception):  # noqa: N818
    """Leaves the transaction so that it is rolled back."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class _Overtaken(Exception):  # noqa: N818
    """Leaves the transaction because the node has settled already or, without an outcome, the job runs elsewhere."""

    def __init__(self, outcome: str | None) -> None:
        self.outcome = outcome


class Effects:
    """Runs functions in the transactions that settle their nodes, for one Oban instance.

    Args:
        oban: The instance.
        settler: Settles nodes of the instance.
    """

    def __init__(self, oban: Oban, settler: Settler) -> None:
        prefix = prefix_of(oban)
        self._enter = statement(_ENTER, prefix)
        self._look = statement(_LOOK, prefix)
        self._settler = settler
        self._engine = sync_engine(oban)
        self._async_engine = async_engine(oban)
        self._is_closed = False
        at_stop(oban, self.close)

    async def close(self) -> None:
        """Close the idle connections now, and the others when their steps have ended."""
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
    ) -> Ending:
        """Run one attempt: call the function, and settle its node, in one transaction.

        Args:
            job: The job.
            annotation: The class of connection or session that the step takes.
            is_async: Whether the step is async.
            function: Calls the step's function with the connection; returns a coroutine if it is async.
            finish: Converts what the function returned to what will be settled, or to Oban's `Cancel` or `Snooze`.

        Returns:
            None if the node has settled; Oban's `Cancel` or `Snooze` if the function returned one.

        Raises:
            TransactionEndedError: BTN510, if the function ended the transaction with its own SQL.
            Exception: The exception of the function, or the last one of the database. Nothing is stored then.
        """
        wants, arguments = named_class(annotation)
        assert wants is not None
        work = Work(
            job=job,
            wants=wants,
            has_dict_rows=any((typing.get_origin(item) or item) is dict for item in arguments),
            function=function,
            finish=finish,
        )
        runs = 0
        for number in range(TRIES):
            progress = Progress()
            try:
                return await (self._run_async if is_async else self._run_sync)(work, progress)
            except _Overtaken as settled:
                if settled.outcome in ("completed", "skipped") and runs:
                    # Perhaps we settled it, and only the answer was lost: then nobody knows what was claimed.
                    repeating = Coalescer("settle", self._settler.settle, rest=self._settler.rest)
                    await repeating.submit_again(Finished(job, "null"))
                if settled.outcome in ("cancelled", "discarded"):
                    await Coalescer("park", self._settler.park).submit(job)
                return None
            except _Unanswered as unanswered:
                runs += unanswered.has_run
                if isinstance(unanswered.error, SilenceError):  # then the idle connections won't answer either
                    self._engine.dispose()
                    await self._async_engine.dispose()
                if number == TRIES - 1 or runs == RUNS:
                    raise unanswered.error from None
                asked = cancellation_of(job)
                if asked is not None and asked.is_set():
                    return Cancel(CANCELLED)
                pause = pause_after(number)
                what = "the function runs again" if unanswered.has_run else "the worker tries to connect again"
                logger.warning("%s in %.2f s: %s", what, pause, str(unanswered.error).strip())
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _check_entered(self, work: Work, row: tuple[Any, ...] | None) -> None:
        _, outcome, state, attempt, *_ = row or (None, None, None, None)
        if outcome is not None or state != "executing" or attempt != work.job.attempt:
            raise _Overtaken(outcome)

    def _check_look(self, work: Work, row: tuple[Any, ...] | None) -> None:
        token, outcome, *_ = row or (None, None)
        if token != _token(work):
            raise _ended()
        if outcome is not None:
            raise _Overtaken(outcome)

    # -- sync, in a thread --------------------------------------------------------------------------------------

    async def _run_sync(self, work: Work, progress: Progress) -> Ending:
        try:
            return await in_thread(partial(self._in_thread, work, progress, asyncio.get_running_loop()), work.job)
        except asyncio.CancelledError:  # from a timeout, or a worker that stops; the thread continues, and rolls back
            progress.is_given_up = True
            raise

    def _in_thread(self, work: Work, progress: Progress, loop: asyncio.AbstractEventLoop) -> Ending:
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
            with suppress(RuntimeError):  # the loop is closed: the process ends, and other workers run what was claimed
                loop.call_soon_threadsafe(self._settler.start_claimed, [finished], rows)
        return None

    def _function(
        self, work: Work, progress: Progress, connection: Connection, driver: psycopg.Connection[Any]
    ) -> Finished:
        row = driver.cursor(row_factory=tuple_row).execute(self._enter, (_token(work), work.job.id)).fetchone()
        self._check_entered(work, row)
        progress.phase = Phase.FUNCTION
        finished = called(work, progress, connection, driver)
        if not isinstance(finished, Finished):
            raise _Undone(finished)
        if progress.is_given_up:
            raise _Undone(None)
        progress.phase = Phase.SETTLE
        return finished

    def _settle(self, work: Work, driver: psycopg.Connection[Any], finished: Finished) -> list[tuple[Any, ...]]:
        for number in range(SETTLES):
            if driver.info.transaction_status == TransactionStatus.IDLE:
                raise _ended()
            try:
                with (
                    driver.transaction()
                ):  # a savepoint, so that waiting in vain for a lock does not roll back the function's writes
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

    async def _run_async(self, work: Work, progress: Progress) -> Ending:
        """Run it in its own task: a timeout cancels the function, but not the settle, which may be stored already."""
        return await _to_its_end(self._on_the_loop(work, progress), progress)

    async def _on_the_loop(self, work: Work, progress: Progress) -> Ending:
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
                self._settler.start_claimed([finished], rows)
        return None

    async def _async_function(
        self, work: Work, progress: Progress, connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]
    ) -> Finished:
        cursor = await driver.cursor(row_factory=tuple_row).execute(self._enter, (_token(work), work.job.id))
        self._check_entered(work, await cursor.fetchone())
        progress.phase = Phase.FUNCTION
        finished = await async_called(work, progress, connection, driver)
        if not isinstance(finished, Finished):
            raise _Undone(finished)
        progress.phase = Phase.SETTLE
        return finished

    async def _async_settle(
        self, work: Work, driver: psycopg.AsyncConnection[Any], finished: Finished
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


async def _to_its_end(coroutine: Coroutine[Any, Any, Ending], progress: Progress) -> Ending:
    """Await a try. A cancellation is passed on, unless the try is settling: then it is awaited first."""
    task = asyncio.create_task(coroutine)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
            if progress.phase is not Phase.SETTLE:
                task.cancel()
    if is_cancelled and (task.cancelled() or task.exception() is not None):
        raise asyncio.CancelledError
    return task.result()


@contextmanager
def _telling(progress: Progress) -> Iterator[None]:
    """Distinguish failures of the database from exceptions of the function."""
    try:
        yield
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        if progress.phase is Phase.FUNCTION or not may_pass(getattr(error, "orig", None) or error):
            raise
        raise _Unanswered(error, has_run=progress.phase.is_past_the_function) from error


def _token(work: Work) -> str:
    return f"{work.job.id}:{work.job.attempt}"


def _ended() -> TransactionEndedError:
    return TransactionEndedError("the step has ended the transaction of its connection with its own SQL")
