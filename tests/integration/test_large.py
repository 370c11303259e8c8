"""An operator's command on thousands of steps takes seconds, whatever their shape."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.integration.modules import steps

SECONDS = 20
"""A bound on what is quadratic, not a measure: ten thousand take a few seconds on two cores."""

both_shapes_and_sizes = pytest.mark.parametrize(
    ("shape", "many"),
    [
        pytest.param(shape, many, marks=marks, id=f"{shape}-{many}")
        for many, marks in ((2_000, ()), (10_000, pytest.mark.slow))
        for shape in ("chain", "fan")
    ],
)


def flow_of(shape: str, many: int) -> Flow[..., Any]:
    return chain(many) if shape == "chain" else fan(many)


def chain(many: int) -> Flow[..., Any]:
    flow = Flow("chain").add("n0", steps.noop)
    for number in range(1, many):
        flow.add(f"n{number}", steps.noop, deps=[f"n{number - 1}"])
    return flow


def fan(many: int) -> Flow[..., Any]:
    flow = Flow("fan")
    for number in range(many - 1):
        flow.add(f"n{number}", steps.noop)
    return flow.add("last", steps.noop, deps=[f"n{number}" for number in range(many - 1)])


def counts(conn: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(conn.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1").fetchall())


@both_shapes_and_sizes
def test_thousands_of_steps_are_cancelled_and_retried_in_seconds(
    conn: psycopg.Connection[Any], shape: str, many: int
) -> None:
    workflow = flow_of(shape, many).insert(conn)
    before = counts(conn)
    started = time.monotonic()
    workflow.sync.cancel()
    assert counts(conn) == {"cancelled": many}
    cancelled = time.monotonic()
    workflow.sync.retry()
    assert counts(conn) == before
    assert time.monotonic() - started < SECONDS
    print(f"{many} steps, {shape}: cancel {cancelled - started:.1f} s, retry {time.monotonic() - cancelled:.1f} s")


@both_shapes_and_sizes
def test_a_job_whose_end_and_retry_change_all_others_takes_seconds(
    conn: psycopg.Connection[Any], shape: str, many: int
) -> None:
    flow_of(shape, many).insert(conn)
    before = counts(conn)
    heads = "UPDATE oban_jobs SET state = %s WHERE state = %s"
    started = time.monotonic()
    conn.execute(heads, ["discarded", "available"])
    assert counts(conn) == {"discarded": before["available"], "cancelled": before["suspended"]}
    ended = time.monotonic()
    conn.execute(heads, ["available", "discarded"])
    assert counts(conn) == before
    assert time.monotonic() - started < SECONDS
    print(f"{many} steps, {shape}: discard {ended - started:.1f} s, retry {time.monotonic() - ended:.1f} s")
