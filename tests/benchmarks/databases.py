"""A server with PostgreSQL's default settings, durable commits included; each benchmark gets a fresh database."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from baton_dsl.runtime import schema
from baton_dsl.runtime.embedded import serve

_numbers = itertools.count()


@contextmanager
def server() -> Iterator[str]:
    """A private server, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="baton-bench-"))
    folder.chmod(0o755)
    try:
        with serve(folder / "postgres") as dsn:
            yield dsn
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fresh(dsn: str) -> str:
    """A new database with Oban's tables and ours."""
    name = f"bench_{next(_numbers)}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    database = make_conninfo(dsn, dbname=name)
    schema.install(database)
    return database
