"""The end of one attempt never keeps the ends of others from being stored, even if its error is huge or refused."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from baton_dsl.core.wording import LONGEST_ERROR
from baton_dsl.runtime.oban import acks
from tests.conftest import StartOban, until
from tests.integration.modules import outcome_steps as given
from tests.integration.modules import steps

TIMEOUT = 60

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'executing' AND NEW.meta ->> 'workflow_name' = 'refused' THEN
        RAISE EXCEPTION 'no end for this one';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON oban_jobs FOR EACH ROW EXECUTE FUNCTION refuse();
"""
ACCEPT = "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"


def state(conn: psycopg.Connection[Any], name: str) -> str:
    row = conn.execute("SELECT state FROM oban_jobs WHERE meta ->> 'workflow_name' = %s", [name]).fetchone()
    assert row is not None
    return str(row[0])


async def test_an_end_that_the_database_refuses_holds_up_no_other_and_is_told_again(
    start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(acks, "PAUSE", (0.1, 0.2))
    conn.execute(REFUSE)
    flow = Flow("some").add("refused", steps.fails)
    for number in range(5):
        flow.add(f"plain {number}", steps.ExportWorker.new({}))
    flow.add("after", steps.noop, deps=["plain 0"])
    async with start_oban(queues={"default": 6}):
        workflow = await flow.insert()
        await until(lambda: state(conn, "after") == "completed", TIMEOUT)
        assert state(conn, "refused") == "executing"
        later = await Flow("later", steps.noop).insert()  # the queue goes on
        assert (await later.wait(TIMEOUT)).outcome == "completed"
        expected = "looks running until its end can be stored: RaiseException: no end for this one"
        await until(lambda: expected in caplog.text, TIMEOUT)
        conn.execute(ACCEPT)
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        (error,) = [node.error or "" for node in await workflow.nodes() if node.step == "refused"]
        assert error.startswith("The end of this attempt could not be stored as it was: RaiseException: no end")
        assert "RuntimeError" in error


async def test_what_can_not_be_sent_is_stored_without_it(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    flow = Flow("some").add("no json", given.snoozes_with_what_is_no_json)
    for number in range(3):
        flow.add(f"plain {number}", steps.ExportWorker.new({}))
    async with start_oban(queues={"default": 4}):
        await flow.insert()
        for name, end in {"no json": "scheduled", **{f"plain {number}": "completed" for number in range(3)}}.items():
            await until(lambda name=name, end=end: state(conn, name) == end, TIMEOUT)


async def test_the_history_of_a_job_is_bounded(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    old = "jsonb_build_object('attempt', number, 'at', '2026-01-02T03:04:05Z', 'error', repeat('x', 100000))"
    async with start_oban(queues={}):
        workflow = await Flow("some").add("first", given.raises_at_last).insert()
        conn.execute(f"UPDATE oban_jobs SET errors = (SELECT jsonb_agg({old}) FROM generate_series(1, 30) AS number)")
    async with start_oban(queues={"default": 1}):
        await workflow.wait(TIMEOUT)
    (errors,) = conn.execute("SELECT errors FROM oban_jobs").fetchone() or ([],)
    assert sum(len(entry["error"]) for entry in errors) < acks.LONGEST_HISTORY
    assert [entry["attempt"] for entry in errors[:3]] == [1, 2, errors[3]["attempt"] - 1]
    assert errors[2]["error"] == f"The errors of {errors[2]['attempt'] - 2} attempts are left out."
    assert errors[-1]["error"].endswith("RuntimeError: no luck at all\n")
    assert max(len(entry["error"]) for entry in errors) <= LONGEST_ERROR


async def test_an_error_with_its_history_never_grows_beyond_the_bound(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    """The step fails with a long error each time; the test skips its backoffs."""

    def grown(attempt: int) -> bool:
        row = conn.execute("SELECT state::text, attempt, length(errors::text) FROM oban_jobs").fetchone()
        assert row is not None
        assert row[2] < acks.LONGEST_HISTORY + LONGEST_ERROR
        return row[:2] == ("retryable", attempt)

    async with start_oban(queues={"default": 1}):
        await Flow("some").add("first", given.raises_a_long_text_each_time).insert()
        for attempt in range(1, 25):
            await until(lambda attempt=attempt: grown(attempt), TIMEOUT)
            conn.execute("UPDATE oban_jobs SET state = 'available'")
            conn.execute("SELECT pg_notify('public.oban_insert', '{\"queue\": \"default\"}')")
