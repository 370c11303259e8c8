"""Records of the runs of steps, written on a separate connection that no rollback affects."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

DSN = "BATON_CRASH_DSN"
"""The environment variable that names the database to write to."""
PATIENCE = 60.0
"""Seconds for which a note is tried again: the server restarts, and connections are cut, under these steps too."""

TABLE = """
CREATE TABLE crash_runs (
    id uuid PRIMARY KEY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    pid integer NOT NULL,
    seen text,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz,
    returned jsonb
);
CREATE INDEX ON crash_runs (job_id);
"""
"""A row for each time that a function ran, with what it returned. `seen` is the outcome of its node that everybody
could see by then: it must have none."""

_BEGIN = """
INSERT INTO crash_runs (id, job_id, attempt, pid, seen)
VALUES (%s, %s, %s, %s, (SELECT outcome FROM workflow_nodes WHERE oban_job_id = %s))
ON CONFLICT DO NOTHING
"""


class Notebook:
    """Writes from any thread of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conn: psycopg.Connection[Any] | None = None

    def begin(self, job_id: int, attempt: int) -> UUID:
        """Record that a function starts."""
        run = uuid4()
        self._write(lambda conn: conn.execute(_BEGIN, [run, job_id, attempt, os.getpid(), job_id]))
        return run

    def end(self, run: UUID, returned: Any = None) -> None:
        """Record that it returns or raises, before its result is visible to anybody else."""
        end = "UPDATE crash_runs SET ended = clock_timestamp(), returned = %s WHERE id = %s"
        value = None if returned is None else Jsonb(returned)
        self._write(lambda conn: conn.execute(end, [value, run]))

    def _write(self, write: Callable[[psycopg.Connection[Any]], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._lock:
            while True:
                try:
                    if self._conn is None:
                        self._conn = psycopg.connect(os.environ[DSN], autocommit=True)
                    write(self._conn)
                except psycopg.OperationalError:
                    self._conn = None
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
                else:
                    return


NOTEBOOK = Notebook()
