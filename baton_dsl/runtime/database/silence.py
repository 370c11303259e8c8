"""Detect silent connections, and close them so that their users continue on another one.

A network may accept what we send and never answer, for example if the other side of a NAT or a proxy has died. For TCP,
that looks like a slow statement. So if nothing has come for a while, the server is asked on a new connection whether it
still works on the statement. If it does not, no answer will come, and the silent connection is closed: whoever waits
for it gets an error. A slow statement is left alone, however long it takes.
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
"""Seconds without a received byte after which the server is asked."""
TICK: Final = 0.25
"""Seconds between two checks of the waiting connections."""
GIVE_UP: Final = 10.0
"""Seconds without a byte after which a connection is shut down if the server can't even be asked."""
POOLED: Final = 30.0
"""The same behind a pooler, where it is unknown which backend works on a statement."""
REFUSED: Final = 300.0
"""The same if the server answers but accepts no login: it has too many connections, or the password has expired."""
ASKING: Final = 3
"""Seconds within which the server must say what it works on."""

type AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class SilenceError(psycopg.OperationalError):
    """The server did not answer, and no longer works on the statement. It may or may not have executed it."""


class _Wait:
    """One wait for an answer on a connection."""

    def __init__(self, conn: AnyConnection, patience: float) -> None:
        self.conn = conn
        self.patience = patience
        self.heard = time.monotonic()
        self.is_over = False
        self.is_cut = False

    def followed[T](self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Run psycopg's generator unchanged, and note when bytes are sent or received."""
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
        """True if the answer is overdue, and no received bytes are unread."""
        pgconn = self.conn.pgconn
        if pgconn.transaction_status != TransactionStatus.ACTIVE:
            self.heard = now  # it listens for notifications, or nothing has been sent
            return False
        return now - self.heard >= self.patience and not _has_bytes(pgconn.socket)


class Watch:
    """Watches, in a thread, the connections of this process on which somebody waits for an answer."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # the child process has neither the thread nor the connections

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()
        self._is_needed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, conn: AnyConnection, patience: float = PATIENCE) -> Iterator[_Wait]:
        """Watch a connection while somebody waits for the answer to a statement.

        Raises:
            SilenceError: If the connection was closed because it is silent.
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
            with self._lock:  # from now on the socket may be closed, and its file descriptor reused
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
                if self._waits:  # one was added in between
                    self._is_needed.set()
                continue
            try:
                self._look()
            except Exception:  # the next check may succeed
                logger.exception("could not check for silent connections")

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
    """The connection string of a connection's own server: its DSN may name several."""
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
# An active backend that waits for its client has not received the whole statement, or can't send its answer.


def _borne(conninfo: str, asked: list[int]) -> dict[int, float]:
    """How many seconds each backend may be silent. Backends that work on a statement are left out."""
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
# The last condition is needed because the backend may have ended by itself, and a new one may have its pid.


def _end(conninfo: str, pids: list[int]) -> None:
    """End the backends of connections that were closed here, which would keep their locks until the server notices."""
    with (
        suppress(psycopg.Error),
        psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as conn,
        _within(conn, ASKING),
    ):
        if conn.execute("SELECT pg_backend_pid()").fetchone() == (
            conn.info.backend_pid,
        ):  # otherwise there is a pooler
            conn.execute(_END, [pids])


@contextmanager
def _within(conn: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Close a connection if the block takes longer."""
    with socket.socket(fileno=os.dup(conn.pgconn.socket)) as double:
        timer = threading.Timer(seconds, double.shutdown, [socket.SHUT_RDWR])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for ever for an answer.

    Attributes:
        patience: Seconds without a received byte after which the server is asked.
    """

    patience = PATIENCE

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does.

        Raises:
            SilenceError: If no answer will come.
        """
        with WATCH.over(self, self.patience) as wait:
            return super().wait(wait.followed(gen), *args, **kwargs)


class WatchedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for async code."""

    patience = PATIENCE

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does.

        Raises:
            SilenceError: If no answer will come.
        """
        with WATCH.over(self, self.patience) as wait:
            return await super().wait(wait.followed(gen), *args, **kwargs)
