"""The worker's peak memory, against raw Oban doing as many jobs; and how it grows with the number of steps."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row


def run() -> list[Row]:
    """A fresh process for each, told how much it has grown to."""
    with databases.server() as server:
        small, large = _ours(server, 2_000), _ours(server, 20_000)
        raw = _raw(server, 20_000)
    return [
        Row(
            work="peak memory of a worker, 20,000 steps",
            measured=f"{large:.0f} MiB",
            reference=f"raw Oban {raw:.0f} MiB",
            ratio=large / raw,
            goal="1.3",
        ),
        Row(
            work="the same, against 2,000 steps",
            measured=f"{large:.0f} MiB",
            reference=f"{small:.0f} MiB",
            ratio=large / small,
            goal="flat",
        ),
    ]


def _ours(server: str, steps: int) -> float:
    dsn = databases.fresh(server)
    with psycopg.connect(dsn) as conn:
        for flow in execution.diamonds(steps // 4):
            flow.insert(conn)
    return _peak(dsn)


def _raw(server: str, jobs: int) -> float:
    dsn = databases.fresh(server)
    execution.insert_raw(dsn, jobs)
    return _peak(dsn)


def _peak(dsn: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.worker_process", dsn], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
