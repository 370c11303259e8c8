"""Flows in memory, against the same flow on a database and against bare coroutines."""

from __future__ import annotations

import asyncio
import time

from baton_dsl import Flow
from baton_dsl.testing import Baton
from baton_dsl.testing.database import BatonServer
from tests.benchmarks.report import Row, medians
from tests.testing import flows

ROUNDS = 7
STEPS = 100


def run() -> list[Row]:
    """100 steps in ten chains; the exploration of a flow with a double charge."""
    wide = Flow("wide")
    for number in range(STEPS):
        wide.add(f"s{number}", flows.leaks, deps=[f"s{number - 1}"] if number % 10 else [])

    def in_memory() -> float:
        with Baton() as baton:
            began = time.perf_counter()
            assert baton.sync.run(wide).outcome == "completed"
            return time.perf_counter() - began

    def bare() -> float:
        async def call_all() -> None:
            for _ in range(STEPS):
                await flows.leaks()

        began = time.perf_counter()
        asyncio.run(call_all())
        return time.perf_counter() - began

    def explore() -> float:
        began = time.perf_counter()
        with Baton() as baton:
            try:
                baton.sync.explore(
                    flows.careless, amount=12, before=flows.forget, check=lambda _: flows.charges == [12]
                )
            except AssertionError:
                return time.perf_counter() - began
        raise AssertionError("the double charge was not found")

    with BatonServer() as server, server.database() as database:

        def on_a_database() -> float:
            began = time.perf_counter()
            assert database.sync.run(wide).outcome == "completed"
            return time.perf_counter() - began

        ours, theirs, called, found = medians(ROUNDS, in_memory, on_a_database, bare, explore)
    return [
        Row(
            work=f"{STEPS} steps in memory",
            measured=f"{ours * 1000:.1f} ms",
            reference=f"on a database {theirs * 1000:.0f} ms; called bare {called * 1000:.1f} ms",
            ratio=ours / theirs,
            goal="50 ms",
        ),
        Row(
            work="a double charge in five steps found",
            measured=f"{found * 1000:.0f} ms",
            reference=f"one run {ours * 1000:.1f} ms",
            ratio=found / ours,
            goal="2 s",
        ),
    ]
