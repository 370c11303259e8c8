"""`make bench-peers`: ours beside DBOS, absurd, pgqueuer and procrastinate, on the same server, in turns, medians."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

from tests.benchmarks import databases

ENGINES = {
    "ours": "baton-dsl",
    "dbos": "dbos",
    "absurd": "absurd-sdk",
    "pgqueuer": "pgqueuer",
    "procrastinate": "procrastinate",
}
QUEUES = {"pgqueuer", "procrastinate"}
"""They have jobs and no graphs: what is starred in the table is as many jobs, none of which waits for another."""

WORKS = {"chain": 100, "wide": 1_000, "diamonds": 500, "insert": 500}
NAMES = {
    "chain": "chain of {:,}",
    "wide": "1 -> {:,} -> 1",
    "diamonds": "{:,} diamonds",
    "insert": "insert {:,} diamonds",
}

UNFAIR = """\
What is unfair, and to whom:
- One process inserts and executes everywhere. The clock runs from the call that inserts or starts the work to the last
  call of a function; that the ends of all functions are stored is checked afterwards, and not timed.
- Commits are durable everywhere: PostgreSQL's own settings, logged tables.
- ours stores a whole graph before it runs, a row and a job for each step; any process may take any step. DBOS and
  absurd run a workflow as one function in one process and store what its steps return, so a chain needs no queue, and
  an insert is a row or two for a workflow, not for each step: they do less in `chain` and `insert`.
- DBOS and absurd insert workflows one by one, each durably; ours by insert_many, in one transaction.
- A worker of absurd has one connection, which the steps of all its tasks share. It polls, here every 10 ms (250 by
  default).
- * pgqueuer and procrastinate are queues without graphs: as many jobs, none of which waits for another, in one insert.
  It is what a graph could cost at least. In their chain each job enqueues the next one, which is not atomic with its
  own end.
- pgqueuer runs on a pool of asyncpg, and stores ends in batches, which may come after the last call. With its driver
  on one connection of psycopg its chain stands still: statements wait for the listener, and that for a notification.
- procrastinate polls every 50 ms here: its worker forgets a notification that comes during a fetch, and by default a
  hop of a chain then waits for up to 5 s. With `wait=False` it ends at the first empty fetch, amid a chain."""


class Cell(NamedTuple):
    """What one engine did of one work: medians, or why there are none."""

    seconds: float
    cpu: float
    left_out: str = ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--environment", type=Path, default=Path(".peers"), help="where the peers are installed")
    parser.add_argument("--absurd-sql", type=Path, help="absurd.sql of the release of absurd-sdk that is installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--percent", type=int, default=100, help="of the usual sizes")
    parser.add_argument("--only", nargs="*", choices=sorted(ENGINES), default=list(ENGINES))
    given = parser.parse_args()
    engines = [engine for engine in ENGINES if engine in given.only]
    if "absurd" in engines and given.absurd_sql is None:
        engines.remove("absurd")
        print("absurd is left out: its schema isn't on PyPI; give the path to its absurd.sql: ABSURD_SQL=/path/to/it")
    sizes = {work: max(1, size * given.percent // 100) for work, size in WORKS.items()}
    with databases.server() as server:
        print(_circumstances(server, given.environment, engines, given.rounds), flush=True)
        cells = {}
        for work, size in sizes.items():
            cells[work] = _measured(server, work, size, engines, given)
            print(f"  measured: {NAMES[work].format(size)}", file=sys.stderr, flush=True)
    print(_table(cells, sizes, engines))
    for work, row in cells.items():
        for engine, cell in row.items():
            if cell.left_out:
                print(f"{engine} is left out of {NAMES[work].format(sizes[work])}: {cell.left_out}")
    print(f"\nLoad of the machine at the end: {_load()}.\n\n{UNFAIR}")


def _circumstances(server: str, environment: Path, engines: list[str], rounds: int) -> str:
    with psycopg.connect(server) as conn:
        row = conn.execute("SHOW server_version").fetchone()
    assert row is not None
    installed = subprocess.run(
        [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
    )
    versions = {each["name"].lower(): each["version"] for each in json.loads(installed.stdout)}
    versions["baton-dsl"] = version("baton-dsl")
    named = ", ".join(f"{ENGINES[engine]} {versions[ENGINES[engine]]}" for engine in engines)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, PostgreSQL {row[0]}, Python "
        f"{sys.version.split()[0]}, medians of {rounds}; load of the machine at the start: {_load()}.\n{named}\n"
    )


def _load() -> str:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"{load:.1f} on {cores} cores" + (": BUSY with other work, compare ratios only" if load > 2 * cores else "")


def _measured(server: str, work: str, size: int, engines: list[str], given: argparse.Namespace) -> dict[str, Cell]:
    found: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines}
    failed: dict[str, str] = {}
    for number in range(given.rounds):
        for engine in engines:
            if engine in failed:
                continue
            name = f"{engine}_{work}_{number}"
            try:
                found[engine].append(_run(server, name, engine, work, size, given))
            except RuntimeError as error:
                failed[engine] = str(error)
    return {
        engine: Cell(0, 0, failed[engine])
        if engine in failed
        else Cell(*(median(each[what] for each in found[engine]) for what in ("seconds", "cpu")))
        for engine in engines
    }


def _run(server: str, name: str, engine: str, work: str, size: int, given: argparse.Namespace) -> dict[str, float]:
    """One process on a database of its own; raises RuntimeError if it did not do all of the work."""
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
        try:
            done = subprocess.run(
                [
                    sys.executable if engine == "ours" else given.environment / "bin/python",
                    "-m",
                    f"tests.benchmarks.peers.run_{engine}",
                    work,
                    str(size),
                    make_conninfo(server, dbname=name),
                ],
                env={**os.environ, "ABSURD_SQL": str(given.absurd_sql)},
                check=False,
                capture_output=True,
                text=True,
                timeout=300,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError("it did not end within 300 s") from None
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it failed without a word"])[-1])
    said: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    for what in ("calls", "stored"):
        if said[what] != said[f"{what}_expected"]:
            raise RuntimeError(f"{what}: {said[what]} where {said[f'{what}_expected']} were to be")
    return said


def _table(cells: dict[str, dict[str, Cell]], sizes: dict[str, int], engines: list[str]) -> str:
    """Times, their ratio to ours (above 1: it takes longer), and CPU of the process."""
    head = ["work", *engines]
    lines = [head, ["---"] * len(head)]
    for work, row in cells.items():
        ours = row.get("ours")
        texts = []
        for engine in engines:
            cell = row[engine]
            if cell.left_out:
                texts.append("left out")
                continue
            ratio = f" ({cell.seconds / ours.seconds:.2f})" if ours and not ours.left_out and engine != "ours" else ""
            star = "*" if engine in QUEUES and work != "chain" else ""
            texts.append(f"{cell.seconds:.3f} s{ratio}{star}, {cell.cpu:.2f} s CPU")
        lines.append([NAMES[work].format(sizes[work]), *texts])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


main()
