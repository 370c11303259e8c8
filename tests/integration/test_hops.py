"""A step of a chain takes one statement, which returns what the gate of the next step would read."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from oban import Job
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow
from baton_dsl.runtime.executing import settle
from baton_dsl.runtime.executing.gate import Gate, passage_of
from baton_dsl.runtime.executing.settle import FOREKNOWN, Foreknown, foreknown
from baton_dsl.runtime.oban.bridge import hears
from baton_dsl.runtime.oban.stopping import CANCELLATIONS
from tests.conftest import StartOban, until
from tests.integration.modules import mapped, steps


def chain(length: int) -> Flow:
    flow = Flow("chain").add("step_0", steps.noop)
    for index in range(1, length):
        flow.add(f"step_{index}", steps.noop, deps=[f"step_{index - 1}"])
    return flow


async def test_a_hop_is_one_statement(start_oban: StartOban, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: Counter[str] = Counter()
    execute = psycopg.AsyncCursor.execute

    async def spy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string()
        kinds = {"baton_settle": "settles", "AS is_stopped": "gates", "locked_jobs": "fetches"}
        sent.update(kind for mark, kind in kinds.items() if mark in text)
        return await execute(self, query, *args, **options)

    for limit in ("LONGEST_AGO", "LONGEST_STREAK"):  # a slow machine is not what this is about
        monkeypatch.setattr(f"baton_dsl.runtime.executing.settle.{limit}", 60.0)
    async with start_oban(queues={"default": 20}) as oban:
        await until(lambda: hears(oban))  # before, what a settle has read is read again
        workflow = await chain(100).insert()
        monkeypatch.setattr(psycopg.AsyncCursor, "execute", spy)
        assert (await workflow.wait(timeout=60)).outcome == "completed"
    assert sent["settles"] == 100
    assert sent["gates"] <= 10
    assert sent["fetches"] < 30


@pytest.mark.parametrize("result", ['"a \\"b\\" \\u00e4 \\\\u0000"', '{"a": 1.50, "b": [null, 1e400]}', None])
async def test_what_a_settle_reads_is_what_the_gate_reads(
    conn: psycopg.Connection[Any], pool: AsyncConnectionPool[Any], result: str | None
) -> None:
    flow = Flow("diamond").add("top", steps.noop).add("left", steps.noop, deps=["top"])
    flow.add("right", steps.noop, deps=["top"]).add("last", steps.noop, deps=["right", "left"])
    ids = [flow.insert(conn).id, steps.billing.insert(conn, api_key="k").id, mapped.summing.insert(conn, count=3).id]
    conn.execute("UPDATE workflow_nodes SET outcome = 'completed', result = %s WHERE upstreams = '{}'", [result])
    conn.execute("UPDATE workflow_nodes SET outcome = 'cancelled' WHERE step_name = 'left'")
    conn.execute("UPDATE baton_workflows SET stopped_at = now() WHERE workflow_id = %s", [ids[1]])
    jobs = [job_id for (job_id,) in conn.execute("SELECT oban_job_id FROM workflow_nodes ORDER BY 1").fetchall()]
    told = [conn.execute("SELECT baton_passage(%s, 8192)::text", [job]).fetchone()[0] for job in jobs]  # type: ignore[index]
    passages = await Gate(pool, "public").read(jobs)
    compared = [(passage_of(text), passage) for text, passage in zip(told, passages, strict=True) if text is not None]
    assert [known for known, _ in compared] == [passage for _, passage in compared]
    assert len(jobs) - len(compared) == 2  # the map, and what takes its results


@pytest.mark.parametrize("size", [8_000, 9_000])
def test_a_large_result_is_left_to_the_gate(conn: psycopg.Connection[Any], size: int) -> None:
    chain(2).insert(conn)
    conn.execute("ALTER TABLE workflow_nodes ALTER result SET STORAGE EXTERNAL")
    conn.execute("UPDATE workflow_nodes SET result = to_json(repeat('x', %s)) WHERE upstreams = '{}'", [size])
    row = conn.execute("SELECT baton_passage(oban_job_id, 8192) FROM workflow_nodes WHERE upstreams <> '{}'").fetchone()
    assert row is not None
    assert (row[0] is not None) == (size < 8_192)


async def test_a_cancellation_that_comes_before_the_process_knows_its_job_is_heeded(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch, conn: psycopg.Connection[Any]
) -> None:
    """The settle has claimed the second step; the workflow is cancelled before the worker receives the answer."""
    dispatch = settle.dispatch
    late: list[asyncio.Task[None]] = []

    async def later(oban: Any, job: Job) -> None:
        await workflow.cancel()
        while job.id not in CANCELLATIONS:
            await asyncio.sleep(0.01)
        job.extra[FOREKNOWN] = job.extra[FOREKNOWN]._replace(read_at=float("inf"))  # it has all happened in no time
        dispatch(oban, job)

    monkeypatch.setattr(settle, "dispatch", lambda oban, job: late.append(asyncio.create_task(later(oban, job))))
    async with start_oban(queues={"default": 5}):
        workflow = await chain(2).insert()
        assert (await workflow.wait(timeout=60)).outcome == "cancelled"
    assert len(late) == 1
    assert conn.execute("SELECT outcome FROM workflow_nodes ORDER BY oban_job_id").fetchall() == [
        ("completed",),
        ("cancelled",),
    ]


@pytest.mark.parametrize("doubt", ["old", "deaf", "cancelled", None])
async def test_what_may_have_changed_is_read_again(doubt: str | None) -> None:
    notifier = SimpleNamespace(_conn=None if doubt == "deaf" else SimpleNamespace(closed=False))
    job = Job(id=-1 if doubt == "cancelled" else -2, worker="w")
    CANCELLATIONS.add(-1)
    passage = passage_of('["w", "n", null, 0, false, []]')
    moment = asyncio.get_running_loop().time()
    job.extra[FOREKNOWN] = Foreknown(passage, moment - (1 if doubt == "old" else 0))
    found = foreknown(SimpleNamespace(_notifier=notifier), job)  # type: ignore[arg-type]
    assert found == (passage if doubt is None else None)
    assert FOREKNOWN not in job.extra


@pytest.mark.parametrize("broken", ["passage_of", "dispatch"])
async def test_what_was_claimed_and_could_not_be_started_is_found(
    start_oban: StartOban,
    conn: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    """The settle is committed; an exception occurs before the claimed job starts."""
    works = getattr(settle, broken)
    failed: list[object] = []

    def once(*args: Any) -> Any:
        if not failed:
            failed.append(args)
            raise RuntimeError("not today")
        return works(*args)

    monkeypatch.setattr(settle, broken, once)
    async with start_oban(queues={"default": 5}):
        workflow = await chain(4).insert()
        assert (await workflow.wait(timeout=60)).outcome == "completed"
    attempts = conn.execute("SELECT state::text, attempt FROM oban_jobs").fetchall()
    assert attempts == [("completed", 1)] * 4
    assert len(failed) == 1
    assert "was claimed and could not be started; the next fetch finds it" in caplog.text


async def test_what_was_claimed_by_an_answer_that_could_not_be_read_is_found(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settle is committed, but reading its answer fails: that attempt fails, and the claimed job runs."""
    fetchone = psycopg.AsyncCursor.fetchone
    failed: list[object] = []

    async def once(self: Any) -> Any:
        row = await fetchone(self)
        if not failed and self.description[0].name == "is_acknowledged" and row[1] is not None:
            failed.append(row)
            raise ValueError("unreadable")
        return row

    monkeypatch.setattr(psycopg.AsyncCursor, "fetchone", once)
    async with start_oban(queues={"default": 5}):
        workflow = await chain(4).insert()
        assert (await workflow.wait(timeout=60)).outcome == "completed"
    assert len(failed) == 1
