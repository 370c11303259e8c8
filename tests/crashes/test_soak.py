"""`make soak`: for minutes, processes die or stand still, networks fail, the server restarts, and workflows go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, cast

import psycopg
import pytest

from baton_dsl import Workflow
from baton_dsl.errors import BatonError
from baton_dsl.runtime import schema
from tests.conftest import until
from tests.crashes import verdict
from tests.crashes.notebook import TABLE
from tests.crashes.points import Point
from tests.crashes.server import Server, own_server
from tests.crashes.shapes import SHAPES, Case
from tests.crashes.verdict import Excuse
from tests.crashes.workers import Nursery, nursery
from tests.integration.earlier import FIRST, code_of
from tests.proxy import Proxy, proxy

SECONDS = float(os.environ.get("BATON_SOAK_SECONDS", "600"))
WORKERS = 4
AT_ONCE = 15
"""Workflows that run at the same time."""
LATER = 15.0
"""Seconds after a process, or the network, works again within which others may not know it yet."""
END = 120.0
"""Seconds for what is left, once nobody dies any more."""


@pytest.fixture
def durable(served_folder: Path) -> Iterator[Server]:
    """A server of its own, which may be restarted, and which keeps what it has committed."""
    with own_server(served_folder / "postgres") as server:
        schema.install(server.dsn)
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            conn.execute(TABLE)
        yield server


class Soak:
    """Threads that insert, cancel and kill, on one server."""

    def __init__(self, server: Server, workers: Nursery, network: Proxy, random: Random) -> None:
        self.network = network
        self.excuses: list[Excuse] = []
        self.server = server
        self.workers = workers
        self.random = random
        self.alive: list[int] = []
        self.cases: dict[str, Case] = {}
        self.cancelled: set[str] = set()
        self.done: Counter[str] = Counter()

    def ask[T](self, query: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Ask the database, again while it restarts."""
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self.server.dsn, autocommit=True) as conn:
                return query(conn)
            time.sleep(0.1)

    # --- work --------------------------------------------------------------------------------------------------------

    async def insert(self) -> None:
        """Keep so many workflows running."""
        while True:
            running = await asyncio.to_thread(self.ask, verdict.running)
            for _ in range(AT_ONCE - running):
                case = self.random.choice(SHAPES)(self.random)
                workflow_id = f"soak-{len(self.cases)}"
                await asyncio.to_thread(self.put, workflow_id, case)
                if self.random.random() < 0.1:
                    self.cancelled.add(workflow_id)
            await asyncio.sleep(0.2)

    def put(self, workflow_id: str, case: Case) -> None:
        """Expect a workflow and insert it: both, or neither when time was up before this thread began."""
        self.cases[workflow_id] = case
        self.ask(lambda conn: _insert(conn, workflow_id, case))

    async def cancel(self) -> None:
        """Cancel some of them while they run."""
        told: set[str] = set()
        while True:
            await asyncio.sleep(self.random.uniform(0.1, 1.0))
            for workflow_id in list(self.cancelled - told):
                told.add(workflow_id)
                await asyncio.to_thread(self.ask, self.workflow(workflow_id).cancel)
                self.done["workflows cancelled"] += 1

    def workflow(self, workflow_id: str) -> Operated:
        return Operated(workflow_id, self.server.dsn)

    # --- harm --------------------------------------------------------------------------------------------------------

    async def start_worker(self) -> None:
        """Start one, perhaps with a death of its own ahead."""
        point = self.random.choice(list(Point)) if self.random.random() < 0.5 else None
        self.alive.append(await self.workers.start(point=point, passes=self.random.randint(0, 30)))

    async def replace_the_dead(self) -> None:
        """Restart workers that died, as a supervisor does."""
        while True:
            dead = [pid for pid in self.alive if pid in self.workers.deaths]
            for pid in dead:
                self.alive.remove(pid)
                self.done["processes killed"] += 1
            while len(self.alive) < WORKERS:
                await self.start_worker()
            await asyncio.sleep(0.05)

    async def harm(self) -> None:
        """Kill at random, stop processes for a while, cut connections, let the network fail, restart the server."""
        deeds = {self.kill_one: 50, self.kill_all: 3, self.stand_still: 12, self.restart: 3}
        deeds |= {self.cut_some: 25, self.cut_all: 4, self.reset_some: 10}
        deeds |= {self.half_open_some: 15, self.half_open_all: 5, self.swallow_some: 8}
        deeds |= {self.black_hole: 3, self.freeze: 3, self.slow: 5}
        while True:
            await asyncio.sleep(self.random.uniform(0.2, 2.0))
            await self.random.choices(list(deeds), list(deeds.values()))[0]()

    async def kill_one(self) -> None:
        if self.alive:
            self.workers.kill(self.random.choice(self.alive))

    async def kill_all(self) -> None:
        for pid in self.alive:
            self.workers.kill(pid)

    async def cut_some(self) -> None:
        await self._cut("random() < 0.2")

    async def cut_all(self) -> None:
        await self._cut("true")

    async def _cut(self, which: str) -> None:
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {which}"
        )
        row = await asyncio.to_thread(self.ask, lambda conn: conn.execute(query.encode()).fetchone())
        self.done["connections cut"] += row[0] if row else 0

    async def restart(self) -> None:
        began = time.time()
        await asyncio.to_thread(self.server.restart)
        self.excuses.append(Excuse(began, time.time() + LATER))
        self.done["restarts of the server"] += 1

    async def stand_still(self) -> None:
        """Stop one process for a while, without killing it."""
        pid = self.random.choice(self.alive) if self.alive else None
        if pid is None:
            return
        began = time.time()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.done["processes that stood still"] += 1
            await asyncio.sleep(self.random.uniform(0.5, 6.0))
            os.kill(pid, signal.SIGCONT)
        self.excuses.append(Excuse(began, time.time() + LATER, pid))

    async def reset_some(self) -> None:
        await self._suffer("connections reset", self.network.cut, 0.3)

    async def half_open_some(self) -> None:
        await self._suffer("connections half-open", self.network.half_open, 0.3)

    async def half_open_all(self) -> None:
        await self._suffer("connections half-open", self.network.half_open, 1.0)

    async def swallow_some(self) -> None:
        await self._suffer("connections whose bytes are swallowed", self.network.swallow, 0.3)

    async def _suffer(self, what: str, fault: Callable[[], int], share: float) -> None:
        self.network.share = share
        self.done[what] += await asyncio.to_thread(fault)

    async def black_hole(self) -> None:
        await self._for_a_while("black holes", self.network.black_hole)

    async def freeze(self) -> None:
        self.network.share = 1.0
        await self._for_a_while("frozen networks", self.network.freeze)

    async def _for_a_while(self, what: str, fault: Callable[[], int]) -> None:
        began = time.time()
        await asyncio.to_thread(fault)
        await asyncio.sleep(self.random.uniform(1.0, 6.0))
        await asyncio.to_thread(self.network.heal)
        self.excuses.append(Excuse(began, time.time() + LATER))
        self.done[what] += 1

    async def slow(self) -> None:
        self.network.latency = self.random.uniform(0.01, 0.2)
        await asyncio.sleep(self.random.uniform(1.0, 4.0))
        self.network.latency = 0.0
        self.done["slow networks"] += 1


class Operated:
    """The commands of an operator, on a separate connection."""

    def __init__(self, workflow_id: str, dsn: str) -> None:
        self._workflow = Workflow.load(workflow_id, dsn=dsn)

    def cancel(self, _: object) -> bool:
        return self._workflow.sync.cancel()

    def retry(self, _: object) -> bool:
        return self._workflow.sync.retry()


def _insert(conn: psycopg.Connection[Any], workflow_id: str, case: Case) -> None:
    with suppress(BatonError):  # it was there already: the answer of the first try was lost
        case.flow.options(workflow_id=workflow_id).insert(conn)


async def _for(seconds: float, *works: Callable[[], Awaitable[None]]) -> None:
    """Let all of them go on for so long; an error of one ends all."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_run(work))


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@pytest.mark.slow
async def test_whatever_dies_for_minutes_nothing_is_lost_and_nothing_runs_twice(durable: Server) -> None:
    seed = int(os.environ.get("BATON_SOAK_SEED", str(time.time_ns() % 1_000_000)))
    print(f"\nsoak of {SECONDS:g} s, BATON_SOAK_SEED={seed}")
    with proxy(durable.dsn, Random(seed)) as network:
        await soaked(durable, network, Random(seed))


async def soaked(durable: Server, network: Proxy, random: Random) -> None:
    async with nursery(durable.dsn, network.dsn) as workers:
        soak = Soak(durable, workers, network, random)
        await _for(SECONDS, soak.insert, soak.cancel, soak.replace_the_dead, soak.harm)

        network.heal()
        for pid in soak.alive:
            workers.kill(pid)
        for _ in range(WORKERS):
            await workers.start()
        with suppress(TimeoutError):
            await until(lambda: soak.ask(verdict.unsettled) == 0, END)
        lost = soak.ask(verdict.unsettled)
        for workflow_id in soak.cancelled:
            soak.ask(soak.workflow(workflow_id).retry)
        with suppress(TimeoutError):
            await until(lambda: soak.ask(verdict.unsettled) == 0, END)
        lost += soak.ask(verdict.unsettled)
        differences = soak.ask(lambda conn: verdict.differences(conn, soak.cases))

    facts = {
        "workflows": len(soak.cases),
        "steps": soak.ask(lambda conn: conn.execute("SELECT count(*) FROM workflow_nodes").fetchone()[0]),  # type: ignore[index]
        **soak.done,
        "workflows with a killed step, recovered": soak.ask(verdict.recovered),
        "steps lost": lost,
        "functions run again after a stored result": soak.ask(verdict.run_again),
        "functions run beside a run of their own": soak.ask(verdict.run_beside),
        "healthy steps run twice": len(twice := soak.ask(lambda conn: verdict.healthy_run_twice(conn, soak.excuses))),
        "results that no run had returned": soak.ask(verdict.made_up),
        "from kill -9 to the restart of a step": soak.ask(
            lambda conn: verdict.delays(conn, workers.deaths, soak.cancelled)
        ),
    }
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    assert differences[:10] == []
    assert (lost, facts["functions run again after a stored result"]) == (0, 0)
    assert twice[:10] == []
    assert facts["results that no run had returned"] == 0


class Both:
    """Workers of two versions, as one nursery: a start takes either."""

    def __init__(self, new: Nursery, old: Nursery, random: Random) -> None:
        self._nurseries = (new, old)
        self._random = random
        self.started: Counter[str] = Counter()

    @property
    def deaths(self) -> dict[int, float]:
        return {pid: at for each in self._nurseries for pid, at in each.deaths.items()}

    async def start(self, **order: Any) -> int:
        new, old = self._nurseries
        if self._random.random() < 0.5:
            self.started["new"] += 1
            return await new.start(**order)
        self.started["old"] += 1
        return await old.start()

    kill = staticmethod(Nursery.kill)


class Upgrading(Soak):
    """What a rolling upgrade may meet; what the old code promised nothing of is left out."""

    async def harm(self) -> None:
        deeds = {self.kill_one: 50, self.kill_all: 3, self.restart: 3, self.cut_some: 20}
        while True:
            await asyncio.sleep(self.random.uniform(0.2, 2.0))
            await self.random.choices(list(deeds), list(deeds.values()))[0]()


@pytest.mark.slow
async def test_old_and_new_code_side_by_side_lose_nothing(durable: Server, tmp_path: Path) -> None:
    """Workers of the version before, on the schema of today, beside workers of today."""
    random = Random(int(os.environ.get("BATON_SOAK_SEED", str(time.time_ns() % 1_000_000))))
    old = code_of(FIRST, tmp_path)
    with proxy(durable.dsn, random) as network:
        async with nursery(durable.dsn) as today, nursery(durable.dsn, code=old) as before:
            both = Both(today, before, random)
            soak = Upgrading(durable, cast("Nursery", both), network, random)
            await _for(SECONDS / 5, soak.insert, soak.cancel, soak.replace_the_dead, soak.harm)
            for pid in soak.alive:
                both.kill(pid)
            for nursery_of_one in (today, before):
                await nursery_of_one.start()
            with suppress(TimeoutError):
                await until(lambda: soak.ask(verdict.unsettled) == 0, END)
            lost = soak.ask(verdict.unsettled)
            for workflow_id in soak.cancelled:
                soak.ask(soak.workflow(workflow_id).retry)
            with suppress(TimeoutError):
                await until(lambda: soak.ask(verdict.unsettled) == 0, END)
            lost += soak.ask(verdict.unsettled)
            differences = soak.ask(lambda conn: verdict.differences(conn, soak.cases))
    again = soak.ask(verdict.run_again)
    print(f"\n{len(soak.cases)} workflows, workers {dict(both.started)}, {dict(soak.done)}; lost {lost}, again {again}")
    assert min(both.started["old"], both.started["new"]) > 0
    assert differences[:10] == []
    assert (lost, again) == (0, 0)
