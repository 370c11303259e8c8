"""Worker processes that can be had by the dozen: forked from one that has imported everything, and killed for real.

The nursery is a process with one thread and no connection. It reads orders, a line of JSON each, from its standard
input; it tells which processes it has started, and when each of them died. When its input ends, so do all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from baton_dsl.runtime.executing import process
from tests.crashes import (
    points,
    steps,  # noqa: F401 - so that no worker has to import it
)
from tests.crashes.notebook import DSN
from tests.crashes.points import TRAP, Point

ROOT = Path(__file__).parent.parent.parent
THROUGH = "BATON_CRASH_THROUGH"
"""The environment variable that names how workers connect, if not as the notebook does."""
WITHOUT_TRAPS = "BATON_CRASH_WITHOUT_TRAPS"
"""The environment variable that says that the library is of another version, which the traps do not fit."""
LOG = "BATON_CRASH_LOG"
"""The environment variable that names a file for what workers log; default: nowhere."""


class Nursery:
    """Starts worker processes and knows which of them are dead.

    Attributes:
        deaths: When each process died, in seconds since the epoch, by its id.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self.deaths: dict[int, float] = {}

    async def start(
        self, *, point: Point | None = None, passes: int = 0, queues: Mapping[str, int] | None = None
    ) -> int:
        """Start a worker.

        Args:
            point: Where it shall die.
            passes: How often it may pass there before.
            queues: How many jobs of each queue it runs at once.

        Returns:
            The id of its process.
        """
        order = {"point": point, "passes": passes, "queues": dict(queues or {"default": 8})}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._started.get()

    @staticmethod
    def kill(pid: int) -> None:
        """Kill it; a process that is dead already stays so."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def listen(self) -> None:
        """Receive the nursery's reports until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "died" in told:
                self.deaths[told["died"]] = told["at"]
            else:
                self._started.put_nowait(told["started"])


@asynccontextmanager
async def nursery(dsn: str, through: str | None = None, code: Path | None = None) -> AsyncIterator[Nursery]:
    """A nursery for workers on one database; all of them are gone afterwards.

    Args:
        dsn: The database.
        through: How the workers connect to it: through a proxy. Their steps write down what they do without.
        code: The folder of another version of the library, for the workers to run; they then die by `kill` alone.
    """
    home = code or ROOT
    environment = {DSN: dsn, THROUGH: through or dsn, "PYTHONPATH": os.pathsep.join(map(str, (home, ROOT)))}
    if code is not None:
        environment[WITHOUT_TRAPS] = "yes"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crashes.workers"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=home,  # Python looks there first
        env={**os.environ, **environment},
    )
    made = Nursery(process)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await listening


# --- in the process of the nursery -------------------------------------------------------------------------------


def main() -> None:
    """Start workers on request, and report dead ones."""
    if WITHOUT_TRAPS not in os.environ:
        points.install()
    children: set[int] = set()
    read = bytearray()
    while True:
        ready, _, _ = select.select([0], [], [], 0.005)
        if ready:
            if not (chunk := os.read(0, 65536)):
                break
            read += chunk
            while b"\n" in read:
                line, _, rest = read.partition(b"\n")
                read = rest
                children.add(_start(json.loads(line)))
        _bury(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _bury(children: set[int]) -> None:
    while children:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _tell({"died": pid, "at": time.time()})


def _start(order: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _tell({"started": pid})
        return pid
    try:
        log = os.open(os.environ.get(LOG, os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, file in enumerate((nothing, log, log)):
            os.dup2(file, number)
        if order["point"]:
            TRAP.arm(Point(order["point"]), order["passes"])
        asyncio.run(process.serve(os.environ[THROUGH], queues=order["queues"]))
    finally:
        os._exit(0)


def _tell(what: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
