"""Detect connections that no longer answer, and close them so that their users continue on another one.

A network may take what we send and never answer: a NAT or a proxy whose far leg has died. TCP can't tell that from a
statement that takes its time. So where nothing has come for a while, the server is asked on a new connection whether
it still works on that statement. If it does not, no answer will come, and the silent connection is shut down: whoever
waits for it gets an error, as if it had been cut. A slow statement is left alone however long it takes.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

logger = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds without a byte after which the server is asked."""
TICK: Final = 0.25
"""Seconds between two looks at what waits."""
GIVE_UP: Final = 10.0
"""Seconds without a byte after which a connection is shut down if the server can't even be asked."""
POOLED: Final = 30.0
"""The same behind a pooler, which does not tell who works on what."""
REFUSED: Final = 300.0
"""The same if the server answers, but lets nobody in: it has too many connections, or a password has expired."""
ASKING: Final = 3
"""Seconds in which the server must say what it works on."""

type AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class SilenceError(psycopg.OperationalError):
    """The server did not answer, and does not work on the statement: nobody knows whether it has."""


class _Wait:
    """Somebody waits for a connection."""

    def __init__(self, conn: AnyConnection, patience: float) -> None:
        self.conn = conn
        self.patience = patience
        self.heard = time.monotonic()
        self.is_over = False
        self.is_cut = False

    def followed[T](self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The same steps of psycopg, noting when bytes move."""
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if ready:
                    self.heard = time.monotonic()
                wanted = steps.send(ready)
        except StopIteration as done:
            value: T = done.value
            return value

    def is_silent(self, now: float) -> bool:
        """True if the server owes an answer for longer than is borne, and none lies here unread."""
        pgconn = self.conn.pgconn
        if pgconn.transaction_status != TransactionStatus.ACTIVE:
            self.heard = now  # it listens for notifications, or nothing was sent yet
            return False
        return now - self.heard >= self.patience and not _has_bytes(pgconn.socket)


class Watch:
    """Watches, in a thread, the connections of this process that somebody waits for."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # it has neither the thread nor the connections

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()
        self._is_needed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, conn: AnyConnection, patience: float = PATIENCE) -> Iterator[_Wait]:
        """Watch a connection while somebody waits for what it was told last.

        Raises:
            SilenceError: If it was shut down.
        """
        wait = _Wait(conn, patience)
        self._waits.add(wait)
        if not self._is_needed.is_set():
            self._wake()
        try:
            yield wait
        except psycopg.Error as error:
            if wait.is_cut and not isinstance(error, SilenceError):
                raise SilenceError(f"the database has been silent for {patience:g} s and more") from error
            raise
        finally:
            with self._lock:  # from now on the socket may be closed, and its number used for another
                wait.is_over = True
            self._waits.discard(wait)

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="baton-watch", daemon=True)
                self._thread.start()
        self._is_needed.set()

    def _run(self) -> None:
        while True:
            self._is_needed.wait()
            time.sleep(TICK)
            if not self._waits:
                self._is_needed.clear()
                if self._waits:  # it came in between
                    self._is_needed.set()
                continue
            try:
                self._look()
            except Exception:  # the next look may succeed
                logger.exception("could not look after silent connections")

    def _look(self) -> None:
        by_server: dict[str, dict[int, _Wait]] = {}
        for wait in tuple(self._waits):
            with self._lock, suppress(psycopg.Error, OSError, ValueError):
                if not wait.is_over and wait.is_silent(time.monotonic()):
                    by_server.setdefault(_conninfo(wait.conn), {})[wait.conn.info.backend_pid] = wait
        for conninfo, waits in by_server.items():
            cut = [
                pid
                for pid, borne in _borne(conninfo, list(waits)).items()
                if time.monotonic() - waits[pid].heard >= borne and self._cut(waits[pid])
            ]
            if cut:
                _end(conninfo, cut)

    def _cut(self, wait: _Wait) -> bool:
        with self._lock, suppress(psycopg.Error, OSError, ValueError):
            # The answer may have come while the server was asked.
            if wait.is_over or not wait.is_silent(time.monotonic()):
                return False
            logger.warning("a connection to the database is silent; it is replaced")
            wait.is_cut = True
            with socket.socket(fileno=os.dup(wait.conn.pgconn.socket)) as double:
                double.shutdown(socket.SHUT_RDWR)
            return True
        return False


WATCH: Final = Watch()


def _has_bytes(number: int) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _conninfo(conn: AnyConnection) -> str:
    """How to reach the very server of a connection: its DSN may name several."""
    info = conn.info
    return make_conninfo(
        info.dsn, password=info.password or None, host=info.host, port=info.port, connect_timeout=ASKING
    )


_WORKS_ON: Final = """
SELECT pg_backend_pid(), ARRAY(
    SELECT pid FROM pg_stat_activity
    WHERE pid = ANY(%s) AND coalesce(state NOT LIKE 'idle%%' AND wait_event_type IS DISTINCT FROM 'Client', true)
)
"""
# A backend that is active and waits for its client has not got all of a statement, or can't get rid of its answer.


def _borne(conninfo: str, asked: list[int]) -> dict[int, float]:
    """For how many seconds the silence of each backend is borne. Those that work on something are left out."""
    try:
        with psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as conn, _within(conn, ASKING):
            row = conn.execute(_WORKS_ON, [asked]).fetchone()
            is_pooled = row is not None and row[0] != conn.info.backend_pid
    except psycopg.Error as error:
        said = str(error)
        answers = "FATAL" in said and not any(words in said for words in ("starting up", "shutting down"))
        return dict.fromkeys(asked, REFUSED if answers else GIVE_UP)
    if is_pooled or row is None:
        return dict.fromkeys(asked, POOLED)
    return {pid: 0.0 for pid in asked if pid not in row[1]}


_END: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY(%s) AND usename = current_user AND state LIKE 'idle%%' AND backend_start < now() - interval '1 second'
"""
# The last condition: should a backend have ended by itself, its number may be that of a new one.


def _end(conninfo: str, pids: list[int]) -> None:
    """End backends whose connection was shut down here. Else they keep their locks until the server finds out."""
    with (
        suppress(psycopg.Error),
        psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as conn,
        _within(conn, ASKING),
    ):
        if conn.execute("SELECT pg_backend_pid()").fetchone() == (conn.info.backend_pid,):  # else a pooler is between
            conn.execute(_END, [pids])


@contextmanager
def _within(conn: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Shut a connection down that takes longer."""
    with socket.socket(fileno=os.dup(conn.pgconn.socket)) as double:
        timer = threading.Timer(seconds, double.shutdown, [socket.SHUT_RDWR])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever.

    Attributes:
        patience: Seconds without a byte after which the server is asked.
    """

    patience = PATIENCE

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's.

        Raises:
            SilenceError: If no answer will come.
        """
        with WATCH.over(self, self.patience) as wait:
            return super().wait(wait.followed(gen), *args, **kwargs)


class WatchedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for async code."""

    patience = PATIENCE

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's.

        Raises:
            SilenceError: If no answer will come.
        """
        with WATCH.over(self, self.patience) as wait:
            return await super().wait(wait.followed(gen), *args, **kwargs)
