"""What an operator does to ten thousand steps takes seconds, whatever their shape."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.integration.modules import steps

MANY = 10_000
SECONDS = 20
"""A bound on what is quadratic, not a measure: each takes a few seconds on two cores."""


def chain() -> Flow[..., Any]:
    flow = Flow("chain").add("n0", steps.noop)
    for number in range(1, MANY):
        flow.add(f"n{number}", steps.noop, deps=[f"n{number - 1}"])
    return flow


def fan() -> Flow[..., Any]:
    flow = Flow("fan")
    for number in range(MANY - 1):
        flow.add(f"n{number}", steps.noop)
    return flow.add("last", steps.noop, deps=[f"n{number}" for number in range(MANY - 1)])


def counts(conn: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(conn.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1").fetchall())


@pytest.mark.parametrize("shape", [chain, fan])
def test_ten_thousand_steps_are_cancelled_and_retried_in_seconds(conn: psycopg.Connection[Any], shape: Any) -> None:
    workflow = shape().insert(conn)
    before = counts(conn)
    started = time.monotonic()
    workflow.sync.cancel()
    assert counts(conn) == {"cancelled": MANY}
    cancelled = time.monotonic()
    workflow.sync.retry()
    assert counts(conn) == before
    assert time.monotonic() - started < SECONDS
    print(f"{shape.__name__}: cancel {cancelled - started:.1f} s, retry {time.monotonic() - cancelled:.1f} s")


@pytest.mark.parametrize("shape", [chain, fan])
def test_a_job_whose_end_and_retry_change_all_others_takes_seconds(conn: psycopg.Connection[Any], shape: Any) -> None:
    shape().insert(conn)
    before = counts(conn)
    heads = "UPDATE oban_jobs SET state = %s WHERE state = %s"
    started = time.monotonic()
    conn.execute(heads, ["discarded", "available"])
    assert counts(conn) == {"discarded": before["available"], "cancelled": before["suspended"]}
    ended = time.monotonic()
    conn.execute(heads, ["available", "discarded"])
    assert counts(conn) == before
    assert time.monotonic() - started < SECONDS
    print(f"{shape.__name__}: discard {ended - started:.1f} s, retry {time.monotonic() - ended:.1f} s")
