"""Oban's internals that we rely on. If a test fails after an update of Oban, adapt `runtime/oban/`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import oban.oban
import psycopg
import pytest
from oban import Job, Oban, telemetry
from oban._backoff import jittery_clamped
from oban._executor import AckAction, Executor
from oban._extensions import get_ext
from oban._producer import LocalDispatcher, Producer
from oban._query import Query, _ack_jobs
from oban.worker import resolve_worker
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

import baton_dsl.runtime.executing.worker  # noqa: F401 - so that each instance is accompanied from its start
from baton_dsl import Flow
from baton_dsl.errors import ObanNotFoundError
from baton_dsl.runtime.database.pools import kept_alive
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.acks import ACKNOWLEDGEMENTS, Acknowledgements
from baton_dsl.runtime.oban.dispatching import default_backoff
from baton_dsl.runtime.oban.fetches import dispatch
from tests.conftest import StartOban, until
from tests.integration.modules import steps

TIMEOUT = 60

EXECUTE = """
    async def _execute(self, job: Job) -> None:
        job._cancellation = asyncio.Event()

        executor = await Executor(job=job, safe=True).execute()

        self._pending_acks.append(executor.action)
"""
"""What `dispatching._execute` does in its place."""


async def test_the_insides_that_the_bridge_uses_are_where_it_looks(start_oban: StartOban) -> None:
    assert isinstance(oban.oban._instances, dict)
    async with start_oban(queues={"default": 3}) as instance:
        assert oban.oban._instances["Oban"] is instance
        assert isinstance(instance._query, Query)
        assert isinstance(instance._query._pool, AsyncConnectionPool)
        assert instance._query._prefix == "public"
        assert {"listen", "unlisten"} <= set(dir(instance._notifier))
        assert instance._signal_token
        producer = instance._producers["default"]
        assert isinstance(producer, Producer)
        assert (producer._limit, producer._paused, producer._running_jobs) == (3, False, {})
        assert not producer._stopping.is_set()
        assert callable(producer._dispatcher.dispatch)
        assert list(inspect.signature(producer._dispatcher.cancel).parameters) == ["producer", "job"]
        assert producer._shutdown_grace_period == 15.0
        assert callable(producer._notifier.stop)
        assert isinstance(producer._notifier._conn, psycopg.AsyncConnection)  # type: ignore[attr-defined]
        assert list(inspect.signature(producer._on_job_complete).parameters) == ["job_id"]
        assert bridge.cancellation_of(Job(worker="x")) is None
        assert (await bridge.connecting_of(instance))["conninfo"] == kept_alive(instance._query._pool.conninfo)
        bridge.let_be_cancelled(running := Job(worker="x"))
        assert not running.cancelled()
        asked = bridge.cancellation_of(running)
        assert asked is not None
        asked.set()
        assert running.cancelled()
        assert [queue.uuid for queue in instance.check_all_queues()] == [producer._uuid]
        assert producer._pending_acks == []
        assert producer._loop_task is not None
        assert producer._loop_task.get_loop() is asyncio.get_running_loop()
    assert list(inspect.signature(_ack_jobs).parameters) == ["query", "acks"]
    assert set(AckAction.__dataclass_fields__) == {"job", "state", "attempt_change", "error", "meta", "schedule_in"}
    assert inspect.getsource(Producer._execute).split() == EXECUTE.split()
    assert {"result", "action"} <= set(vars(Executor(job=Job(worker="x"))))
    assert "asyncio.create_task(producer._execute(job))" in inspect.getsource(LocalDispatcher.dispatch)
    assert list(inspect.signature(LocalDispatcher.cancel).parameters) == ["self", "producer", "job"]
    assert list(inspect.signature(jittery_clamped).parameters)[:2] == ["attempt", "max_attempts"]
    assert '"query.ack_jobs"' in inspect.getsource(Query.ack_jobs)
    stop = inspect.getsource(Oban.stop)  # the refresher is told before the notifier, which is asked by its name
    assert stop.index("self._refresher.stop()") < stop.index("self._notifier.stop()")
    assert "self._loop_task, self._stopping" in inspect.getsource(Producer.stop)
    assert '"pkill"' in inspect.getsource(Producer._on_signal)
    assert '"producer.get_jobs"' in inspect.getsource(Producer._get_jobs)
    assert '"producer.init"' in inspect.getsource(Producer.start)
    assert '"producer.restore"' in inspect.getsource(Producer.restore)


@pytest.mark.parametrize("is_running", [True, False], ids=["it runs still", "its ack is pending"])
async def test_a_claimed_job_starts_though_an_attempt_before_it_has_not_quite_ended(
    start_oban: StartOban, conn: psycopg.Connection[Any], *, is_running: bool
) -> None:
    """The gate had put that attempt back when the last upstream settled and the job was claimed."""
    steps.CALLS.clear()
    async with start_oban(queues={"default": 2}) as instance:
        producer: Any = instance._producers["default"]
        await instance.pause_queue("default")
        workflow = await Flow("claimed").add("step", steps.counts_its_calls).insert()
        conn.execute(
            "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_at = timezone('UTC', now()), "
            "attempted_by = %s",
            [[producer._node, producer._uuid]],
        )
        (job,) = await instance._query.all_jobs(["executing"])
        job.attempted_by = [producer._node, producer._uuid]
        earlier = Job(worker=job.worker, id=job.id, attempted_at=job.inserted_at, _validate=False)
        ending = asyncio.Event()
        if is_running:
            task = asyncio.create_task(ending.wait())
            task.add_done_callback(lambda _: producer._on_job_complete(job.id))
            producer._running_jobs[job.id] = (earlier, task)
        else:
            producer._pending_acks.append(AckAction(job=earlier, state="completed"))
        for _ in range(2):  # told twice, it starts once
            dispatch(instance, job)
        ending.set()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    assert len(steps.CALLS) == 1


async def test_the_notifier_listens_at_the_server_itself_if_that_is_named(
    start_oban: StartOban, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '"notifier.build"' in inspect.getsource(Oban.__init__)
    monkeypatch.setenv("BATON_DIRECT_DSN", make_conninfo(dsn, application_name="directly"))
    async with start_oban() as instance:
        running = bridge.Running(instance._query, instance._producers)
        listening = running.listening_connection()
        assert listening is not None
        assert "application_name=directly" in listening.info.dsn
        with running.connect() as conn:
            assert "application_name=directly" in conn.info.dsn
        heard = asyncio.Event()
        await instance._notifier.listen("test", lambda *_: heard.set())
        await instance._notifier.notify("test", {})
        await asyncio.wait_for(heard.wait(), TIMEOUT)


async def test_what_is_to_be_closed_is_closed_once_when_the_instance_stops(start_oban: StartOban) -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("once")

    async with start_oban() as instance:
        bridge.accompany(instance, lambda _: pytest.fail("it has a companion"))
        bridge.at_stop(instance, close)
    await instance.stop()
    assert closed == ["once"]


async def test_a_worker_name_with_slashes_is_resolved_to_a_class_of_ours() -> None:
    cls = resolve_worker("baton_dsl.steps.tests/integration/modules/steps:noop")
    assert isinstance(cls, type)
    assert resolve_worker("baton_dsl.steps.tests/integration/modules/steps:noop") is cls


async def test_settled_jobs_are_not_acked_by_oban_and_all_others_are(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    acked: list[str] = []

    async def spy(query: Query, acks: list[AckAction]) -> list[int]:
        acked.extend(f"{ack.job.meta.get('workflow_name')} {ack.state}" for ack in acks)
        return await _ack_jobs(query, acks)

    async with start_oban():
        warm = await Flow("warm", steps.noop).insert()
        await warm.wait(TIMEOUT)
        assert get_ext("query.ack_jobs", _ack_jobs) == ACKNOWLEDGEMENTS.ack
        monkeypatch.setattr(ACKNOWLEDGEMENTS, "_next", spy)
        flow = Flow("some").add("good", steps.noop).add("bad", steps.fails)
        flow.add("plain", steps.ExportWorker.new({}), deps=["good"])
        workflow = await flow.insert()
        await workflow.wait(TIMEOUT)
    assert sorted(acked) == ["bad discarded", "plain completed"]


async def test_a_job_is_acked_though_a_settle_has_completed_one_of_the_same_number_in_another_schema(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    acked: list[int] = []

    async def spy(_query: Query, acks: list[AckAction]) -> list[int]:
        acked.extend(ack.job.id or 0 for ack in acks)
        return acked

    async with start_oban(queues={}) as instance:
        acknowledged = Acknowledgements()
        monkeypatch.setattr(acknowledged, "_next", spy)
        ours, other = (Job(worker="x", id=7, attempt=1) for _ in range(2))
        acknowledged.add(ours)
        await acknowledged.ack(instance._query, [AckAction(job=other, state="completed")])
        assert acked == [7]
        assert await acknowledged.ack(instance._query, [AckAction(job=ours, state="completed")]) == [7]
        assert acked == [7]


async def test_a_chain_is_claimed_hop_by_hop_while_nothing_else_waits(
    start_oban: StartOban, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton_dsl.runtime.executing.settle.LONGEST_STREAK", 60.0)  # a slow machine is not the point
    length = 40
    flow = Flow("chain").add("s0", steps.noop)
    for index in range(1, length):
        flow.add(f"s{index}", steps.noop, deps=[f"s{index - 1}"])
    fetched: list[int] = []

    def count(_name: str, meta: dict[str, Any]) -> None:
        if meta["count"]:
            fetched.append(meta["count"])

    telemetry.attach("count-fetches", ["oban.producer.get.stop"], count)
    try:
        async with start_oban(queues={"default": 1}):
            workflow = await flow.insert()
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    finally:
        telemetry.detach("count-fetches")
    assert len(fetched) == 1


async def test_a_claimed_job_tells_telemetry_and_its_queue_like_a_fetched_one(start_oban: StartOban) -> None:
    started: list[str] = []

    def note(_name: str, meta: dict[str, Any]) -> None:
        started.append(meta["job"].meta["workflow_name"])

    telemetry.attach("note-starts", ["oban.job.start"], note)
    try:
        async with start_oban(queues={"default": 2, "auth": 1}):
            workflow = await steps.billing.insert(api_key="k")
            await workflow.wait(TIMEOUT)
    finally:
        telemetry.detach("note-starts")
    assert started == ["fetch_token", "regions", "orders", "report"]


async def test_a_paused_queue_claims_nothing(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    flow = Flow("pausing").add("first", steps.waits_for_a_sign).add("second", steps.noop, deps=["first"])
    async with start_oban(queues={"default": 1}) as instance:
        workflow = await flow.insert()
        await asyncio.wait_for(steps.SIGNS.waiting(), TIMEOUT)
        await instance.pause_queue("default")
        steps.SIGNS.give()
        states = "SELECT array_agg(state::text ORDER BY id) FROM oban_jobs"
        await until(lambda: conn.execute(states).fetchone() == (["completed", "available"],))
        await instance.resume_queue("default")
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"


async def test_a_job_of_no_instance_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oban.oban._instances", {})  # Oban keeps those of earlier tests that have stopped
    with pytest.raises(ObanNotFoundError):
        bridge.instance_of(Job(worker="x", attempted_by=["elsewhere", "no-such-uuid"]))


async def test_two_instances_in_one_process_keep_their_jobs_apart(
    start_oban: StartOban, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    from baton_dsl.runtime import schema

    schema.install(dsn, "second")
    async with start_oban(name="one"), start_oban(name="two", prefix="second"):
        first = await Flow("a", steps.noop, oban="one").insert()
        second = await Flow("b", steps.noop, oban="two").insert()
        assert (await first.wait(TIMEOUT)).name == "a"
        assert (await second.wait(TIMEOUT)).name == "b"
    assert conn.execute("SELECT flow_name FROM public.baton_workflows").fetchall() == [("a",)]
    assert conn.execute("SELECT flow_name FROM second.baton_workflows").fetchall() == [("b",)]


async def test_the_switch_leaves_acks_to_oban(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_ACK", "oban")
    acknowledged = Acknowledgements()
    job = Job(worker="x", id=1, attempt=1)
    acknowledged.add(job)
    assert job.extra == {}


async def test_the_switch_turns_claims_off(start_oban: StartOban, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start_oban() as instance:
        job = Job(worker="x", queue="default")
        assert bridge.has_place(instance, job.queue)
        monkeypatch.setenv("BATON_CLAIM", "off")
        assert not bridge.has_place(instance, job.queue)


def test_a_job_whose_worker_says_nothing_waits_as_long_as_oban_lets_it() -> None:
    pauses = [default_backoff(Job(worker="x", attempt=attempt)) for attempt in (1, 2, 10)]
    assert [15 + 2**attempt <= pause for attempt, pause in zip((1, 2, 10), pauses, strict=True)] == [True] * 3
    assert pauses[2] <= (15 + 2**10) * 1.1
