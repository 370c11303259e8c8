"""A real pgbouncer in front of the tests' server; a test that needs one skips where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

PATIENCE = 60.0
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")

CONFIG = """
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {free}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


@contextmanager
def pgbouncer(dsn: str, mode: str = "transaction", size: int = 10) -> Iterator[str]:
    """Run one on a free port.

    Args:
        dsn: A server that listens on a Unix socket.
        mode: What it pools.
        size: How many connections it has to the server.

    Yields:
        How to connect through it.
    """
    if PROGRAM is None:
        missing = "pgbouncer is not installed: apt-get install pgbouncer"
        (pytest.fail if os.environ.get("BATON_TEST_PGBOUNCER") == "required" else pytest.skip)(missing)
    given: dict[str, Any] = conninfo_to_dict(dsn)
    port = given.get("port", 5432)
    owner = (Path(given["host"]) / f".s.PGSQL.{port}").stat()
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="baton-pgbouncer-") as folder:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
        free.close()
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            CONFIG.format(host=given["host"], port=port, user=given["user"], free=number, mode=mode, size=size)
        )
        # It refuses to run as root, and only the server's own user may be able to reach its socket.
        own: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
        if own:
            os.chown(folder, owner.st_uid, owner.st_gid)
        process = subprocess.Popen(
            [PROGRAM, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **own
        )
        pooled = make_conninfo(dsn, host="127.0.0.1", port=number)
        try:
            _wait_for(pooled, process)
            yield pooled
        finally:
            process.kill()
            process.wait()


def _wait_for(dsn: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "pgbouncer has ended"
        with suppress(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("SELECT 1")
            return
        assert time.monotonic() < deadline, "pgbouncer does not answer"
        time.sleep(0.02)
