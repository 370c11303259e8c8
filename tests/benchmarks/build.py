"""Building and checking a flow with every rule, against building the bare lists of its edges."""

from __future__ import annotations

import time

from baton_dsl import Flow
from tests.benchmarks.report import Row, medians
from tests.integration.modules.steps import number

ROUNDS = 7


def run() -> list[Row]:
    """5,000 steps with three edges each, and 10,000 with 30,000 edges."""
    return [_measure(5_000, "0.1 s"), _measure(10_000, "1 s")]


def _measure(size: int, goal: str) -> Row:
    built, bare = medians(ROUNDS, lambda: _build(size), lambda: _bare(size))
    return Row(
        work=f"build and check {size:,} steps, {3 * size - 6:,} edges",
        measured=f"{built:.3f} s",
        reference=f"lists of edges {bare:.3f} s",
        ratio=built / bare,
        goal=goal,
    )


def _build(size: int) -> float:
    start = time.perf_counter()
    flow = Flow("large")
    for index in range(size):
        names = [f"step_{before}" for before in range(max(0, index - 3), index)]
        flow.add(f"step_{index}", number.bind(value=index), deps=names)
    assert len(flow.validate()) == size
    return time.perf_counter() - start


def _bare(size: int) -> float:
    start = time.perf_counter()
    edges: dict[str, tuple[str, ...]] = {}
    for index in range(size):
        edges[f"step_{index}"] = tuple([f"step_{before}" for before in range(max(0, index - 3), index)])
    assert len(edges) == size
    return time.perf_counter() - start
