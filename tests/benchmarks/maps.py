"""Maps: a fan-out whose width is known only when a step has run, against the same graph inserted beforehand.

The static graph's rows are there when the clock starts; the map's are made while it runs. Both hand every item's result
to the last step.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
import uvloop

from baton_dsl import Flow
from tests.benchmarks import databases, execution
from tests.benchmarks.report import Row, medians, rate
from tests.integration.modules import mapped
from tests.integration.modules.steps import noop

ROUNDS = 3


def run() -> list[Row]:
    """Two widths in turns with the static graph; memory. Windows are measured in `growth` and `conditions`."""
    rows: list[Row] = []
    with databases.server() as server:
        for width in (1_000, 10_000):
            dynamic, static = medians(
                ROUNDS,
                lambda n=width: _seconds(server, mapped.summing, {"count": n}),
                lambda n=width: _seconds(server, execution.wide(n)[0], {}),
            )
            rows.append(
                Row(
                    work=f"1 -> {width:,} -> 1, a map",
                    measured=f"{rate(width / dynamic, 'items/s')}, {dynamic:.2f} s",
                    reference=f"inserted statically {rate(width / static, 'steps/s')}",
                    ratio=static / dynamic,
                    goal="0.8",
                )
            )
        small, large = _peak(server, 1_000), _peak(server, 20_000)
        rows.append(
            Row(
                work="peak memory of a worker, 20,000 items",
                measured=f"{large:.0f} MiB",
                reference=f"1,000 items {small:.0f} MiB",
                ratio=large / small,
                goal="flat",
            )
        )
    return rows


def _seconds(server: str, flow: Flow[..., Any], inputs: dict[str, Any]) -> float:
    def insert(dsn: str, flows: Sequence[Flow[..., Any]] = (flow,)) -> None:
        with psycopg.connect(dsn) as conn:
            for each in flows:
                each.insert(conn, **(inputs if each is flow else {}))

    warm_up = partial(insert, flows=execution.chain(50) + execution.wide(50))
    return uvloop.run(execution.execute(databases.fresh(server), warm_up, insert))


def _peak(server: str, items: int) -> float:
    dsn = databases.fresh(server)
    with psycopg.connect(dsn) as conn:
        mapped.crowded.insert(conn, count=items)
        Flow("another").add("only", noop).insert(conn)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.worker_process", dsn], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
