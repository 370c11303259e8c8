"""What every engine is asked to do, how it is measured, and how it is checked. Nothing but the standard library.

Each engine runs in a process of its own, on a database of its own: `python -m tests.benchmarks.peers.run_ours WORK SIZE
DSN` prints one line of JSON. All of them run on uvloop, in one process that both inserts and executes.

The clock runs from the call that inserts or starts the work until the last function has been called. After that,
untimed, the process looks into the database whether the ends of all of them are stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod

LIMIT = 100
"""How many functions run at the same time, where an engine has such a limit."""
WARM_UP = 3
"""Steps of the chain that runs before."""


class Calls:
    """Counts calls of the function that does nothing."""

    def __init__(self) -> None:
        self.count = 0
        self._awaited = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reached = asyncio.Event()

    def expect(self, count: int) -> None:
        """Begin to count: `reached` returns after as many."""
        self.count, self._awaited = 0, count
        self._loop, self._reached = asyncio.get_running_loop(), asyncio.Event()

    def add(self) -> None:
        """The function was called; from any thread."""
        self.count += 1
        if self.count == self._awaited:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._reached.set)

    async def reached(self) -> None:
        """Wait for the last call."""
        await asyncio.wait_for(self._reached.wait(), 120)


CALLS = Calls()


class Engine(ABC):
    """What a peer can do. `chain`, `wide` and `diamonds` start the work, and need not wait for it."""

    @abstractmethod
    async def open(self, dsn: str, executes: bool) -> None:
        """Create its tables, and start its worker unless nothing is to be executed."""

    @abstractmethod
    async def chain(self, length: int) -> None:
        """One call after the other."""

    @abstractmethod
    async def wide(self, width: int) -> None:
        """One, `width` beside each other, one."""

    @abstractmethod
    async def diamonds(self, count: int) -> None:
        """`count` workflows of one, two beside each other, one."""

    @abstractmethod
    async def insert(self, count: int) -> int:
        """Store `count` diamonds that nobody executes; returns how many rows `stored` should find."""

    @abstractmethod
    async def stored(self) -> int:
        """How many ends of functions the database has; after `insert`, how much waits in it."""

    @abstractmethod
    async def close(self) -> None:
        """Stop the worker."""


async def measure(engine: Engine, work: str, size: int, dsn: str) -> dict[str, float]:
    """One measurement."""
    await engine.open(dsn, executes=work != "insert")
    if work == "insert":
        expected = await engine.insert(WARM_UP)
        start, cpu = time.perf_counter(), time.process_time()
        expected += await engine.insert(size)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        calls = 0
    else:
        CALLS.expect(WARM_UP)
        await engine.chain(WARM_UP)
        await CALLS.reached()
        await asyncio.sleep(0.5)
        calls = {"chain": size, "wide": size + 2, "diamonds": 4 * size}[work]
        expected = calls + WARM_UP
        CALLS.expect(calls)
        start, cpu = time.perf_counter(), time.process_time()
        await getattr(engine, work)(size)
        await CALLS.reached()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    stored = await _stored(engine, expected)
    await engine.close()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "calls": CALLS.count if work != "insert" else 0,
        "calls_expected": calls,
        "stored": stored,
        "stored_expected": expected,
    }


async def _stored(engine: Engine, expected: int) -> int:
    deadline = time.monotonic() + 15
    while await engine.stored() < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # nothing must come after it
    return await engine.stored()


def main(engine: Engine) -> None:
    """Measure what the command line says."""
    import uvloop

    work, size, dsn = sys.argv[1:]
    print(json.dumps(uvloop.run(measure(engine, work, int(size), dsn))), flush=True)
