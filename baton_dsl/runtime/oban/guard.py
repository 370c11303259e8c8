"""The guard of a process: show that its queues are alive, and rescue steps of processes that are not.

It is a thread with its own connection, because a process whose step blocks the event loop for minutes is not dead.
`sql/README.md` describes how it works.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg

from baton_dsl.errors import SessionNeededError
from baton_dsl.runtime.database.pooling import is_session
from baton_dsl.runtime.oban.bridge import RunningProducer
from baton_dsl.runtime.oban.threads import RUNS
from baton_dsl.runtime.sql.statements import statement

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two rounds; the first ones come faster, because producers start at the same time."""
RECONNECT: Final = 0.25
"""Seconds before it connects again: much less than the time that `baton_rescue` waits for a missing producer."""
NOT_INSTALLED: Final = 30.0
"""Seconds before it checks again for a missing schema."""

POOLED: Final = 60.0
"""Seconds before it checks again whether a pooler provides sessions."""

# A machine that loses its power closes no connection; with these settings the server detects it in about 10 seconds.
_SETTINGS: Final = (
    "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false), "
    "set_config('tcp_keepalives_count', '3', false), set_config('idle_session_timeout', '0', false), "
    "set_config('default_transaction_isolation', 'read committed', false), set_config('statement_timeout', '0', false)"
)

_GUARD: Final = "SELECT baton.baton_guard(%s::text[], %s::text[])"
_RELEASE: Final = "SELECT pg_advisory_unlock(baton.baton_producer_key(%s::text))"
_UNGUARD: Final = "UPDATE baton.oban_producers SET meta = meta - 'baton_guarded' WHERE uuid::text = ANY(%s)"
_RESCUE: Final = "SELECT baton.baton_rescue('3 seconds'::interval)"
_LOSE: Final = """
UPDATE baton.oban_producers SET meta = meta || jsonb_build_object('baton_lost_threads', %s::int4)
WHERE uuid::text = ANY(%s)
"""


class Guard:
    """Guards the producers of one Oban instance until it is retired and the last of its jobs has ended.

    Args:
        connect: Opens a connection in autocommit mode.
        prefix: The schema.
        producers: Returns the producers that run now.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        prefix: str,
        producers: Callable[[], Iterable[RunningProducer]],
    ) -> None:
        self._connect = connect
        self._producers = producers
        self._guard, self._release, self._unguard, self._rescue, self._lose = (
            statement(text, prefix) for text in (_GUARD, _RELEASE, _UNGUARD, _RESCUE, _LOSE)
        )
        self._known: dict[str, RunningProducer] = {}
        self._retired = threading.Event()
        self._thread = threading.Thread(target=self._run, name="baton-guard", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def retire(self) -> None:
        """Let the thread end as soon as no job runs any more."""
        self._retired.set()

    def _run(self) -> None:
        pause = RECONNECT
        while not self._is_done():
            try:
                with self._connect() as conn:
                    conn.execute(_SETTINGS)
                    if is_session(conn, self._connect):
                        self._watch(conn)
                    else:
                        self._go_without(conn)
                        pause = POOLED
            except (psycopg.OperationalError, psycopg.InterfaceError):
                pause = RECONNECT  # the server restarts, or the database is gone
            except (psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedTable):
                pause = NOT_INSTALLED
            except Exception:  # any error, such as one of the function for the password: without a guard, running
                # steps would be considered orphans
                logger.exception("the guard of the running steps failed, and starts again")
                pause = RECONNECT
            self._retired.wait(pause)

    def _go_without(self, conn: psycopg.Connection[Any]) -> None:
        """Rely on Oban's heartbeat to show that the producers are alive, because a lock would not be held here."""
        logger.error(
            "%s",
            SessionNeededError(
                "if this process dies, its steps are rescued only after a minute, because a pooler gives it no "
                "sessions in which it could hold locks"
            ),
        )
        conn.execute(self._unguard, [[producer.uuid for producer in self._producers()]])

    def _watch(self, conn: psycopg.Connection[Any]) -> None:
        held: list[str] = []
        lost = 0
        pause = 0.02
        while not self._is_done():
            pause = min(INTERVAL, pause * 1.5)
            current = {producer.uuid: producer for producer in self._producers()}
            self._known.update(current)
            for producer in current.values():
                producer.nudge()
            for uuid, producer in list(self._known.items()):
                if uuid not in current and not producer.is_busy:  # its queue was stopped, and its jobs have ended
                    del self._known[uuid]
                    conn.execute(self._release, [uuid])
            row = conn.execute(self._guard, [list(self._known), held]).fetchone()
            held = row[0] if row is not None else []
            conn.execute(self._rescue)
            if lost != RUNS.lost:  # for the doctor
                lost = RUNS.lost
                conn.execute(self._lose, [lost, held])
            if self._retired.wait(pause):
                time.sleep(RECONNECT)  # jobs end one after another during a stop

    def _is_done(self) -> bool:
        return self._retired.is_set() and not any(producer.is_busy for producer in self._known.values())
