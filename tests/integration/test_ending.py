"""The end of a workflow: its hooks, each at most once, and telemetry, once for each end, whoever ended it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from oban import telemetry

from baton_dsl import Flow
from baton_dsl.errors import FlowError, StepNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.executing.hook_worker import load_hook
from baton_dsl.runtime.oban import bridge, end_reporter
from baton_dsl.runtime.operating.actions import prune_sync
from tests.conftest import StartOban, until
from tests.integration.modules import hooks, steps
from tests.integration.modules.hooks import CALLS, hooked
from tests.integration.test_at_once import SETTLE, at_once
from tests.integration.test_at_once import start as at_once_start
from tests.integration.test_processes import oban_start

TIMEOUT = 60
JOBS = "SELECT meta ->> 'baton_hook', state::text, queue FROM oban_jobs WHERE meta ? 'baton_hook' ORDER BY id"


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def called() -> list[str]:
    return sorted(name for name, _ in CALLS)


def hook_jobs(conn: psycopg.Connection[Any]) -> dict[str, str]:
    return {hook: state for hook, state, _ in conn.execute(JOBS).fetchall()}


async def until_run(conn: psycopg.Connection[Any], jobs: int) -> None:
    """Poll until this many jobs of hooks are completed."""
    await until(lambda: list(hook_jobs(conn).values()).count("completed") == jobs, TIMEOUT)


# --- hooks -------------------------------------------------------------------------------------------------------


def test_a_row_alone_makes_no_hook_of_a_function() -> None:
    with pytest.raises(StepNotFoundError, match='has "tests/integration/modules/hooks:undeclared" as a hook'):
        load_hook("tests/integration/modules/hooks:undeclared")
    with pytest.raises(StepNotFoundError, match='has "shutil:rmtree" as a hook'):
        load_hook("shutil:rmtree")
    hooked("first").options(on_settled=hooks.declared)
    assert load_hook("tests/integration/modules/hooks:declared") is hooks.declared


async def test_a_job_that_somebody_wrote_calls_no_function(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    conn.execute(
        "INSERT INTO oban_jobs (worker, queue, max_attempts, args) "
        "VALUES ('baton_dsl.hooks.tests/integration/modules/hooks:undeclared', 'default', 1, %s)",
        ['{"id": "x", "name": "x", "flow": "x", "outcome": "completed", "counts": {}}'],
    )
    async with start_oban():
        await until(
            lambda: bool(conn.execute("SELECT 1 FROM oban_jobs WHERE meta ? 'baton_absent'").fetchall()), TIMEOUT
        )
    assert called() == []


async def test_on_settled_gets_the_status_of_the_end(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban():
        workflow = await hooked("first", "second").options(workflow_name="a label").insert()
        status = await workflow.wait(TIMEOUT)
        await until_run(conn, 1)
    assert [("settled", status)] == CALLS
    assert status.counts == {"completed": 2}
    assert not hooks.THREADS[-1].startswith("MainThread")


@pytest.mark.parametrize(
    ("step", "outcome"),
    [("cancels", "cancelled"), ("fails", "discarded"), ("lies", "discarded")],
)
async def test_each_outcome_has_its_own_hook_beside_on_settled(
    start_oban: StartOban, conn: psycopg.Connection[Any], step: str, outcome: str
) -> None:
    async with start_oban():
        workflow = await hooked("first").add("last", getattr(steps, step), deps=["first"]).insert()
        await workflow.wait(TIMEOUT)
        await until_run(conn, 2)
    assert called() == sorted([outcome, "settled"])
    assert {status.outcome for _, status in CALLS} == {outcome}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE oban_jobs SET state = 'cancelled' WHERE meta ? 'workflow_id'",
        "UPDATE oban_jobs SET state = 'discarded' WHERE meta ? 'workflow_id'",
        "UPDATE oban_jobs SET state = 'completed' WHERE meta ? 'workflow_id'",
        "DELETE FROM oban_jobs WHERE meta ? 'workflow_id'",
        "SELECT baton_stop(array_agg(workflow_id)) FROM baton_workflows",
    ],
)
async def test_a_workflow_that_is_ended_in_sql_has_its_hooks_called(
    start_oban: StartOban, conn: psycopg.Connection[Any], statement: str
) -> None:
    workflow = hooked("first", "second").insert(conn)
    conn.execute(statement)
    expected = {"on_settled"} | {f"on_{workflow.sync.status().outcome}"} & {"on_cancelled", "on_discarded"}
    assert set(hook_jobs(conn)) == expected
    async with start_oban():
        await until_run(conn, len(expected))
    assert len(CALLS) == len(expected)


async def test_an_end_that_is_rolled_back_calls_no_hook(conn: psycopg.Connection[Any]) -> None:
    hooked("first").insert(conn)
    with conn.transaction(force_rollback=True):
        conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE meta ? 'workflow_id'")
        assert hook_jobs(conn) == {"on_settled": "available"}
    assert hook_jobs(conn) == {}


def test_two_who_settle_the_last_two_steps_at_the_same_moment_start_each_hook_once(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    rounds = 60
    flow = hooked("left", "right")
    for _ in range(rounds):
        flow.insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1")
    ids = {"left": list[int](), "right": list[int]()}
    for name, job_id in conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes ORDER BY 2").fetchall():
        ids[name].append(job_id)

    def settle(other: psycopg.Connection[Any]) -> None:
        for job_id in ids["left"]:
            other.execute(SETTLE, [job_id])

    def cancel(other: psycopg.Connection[Any]) -> None:
        for job_id in ids["right"]:
            other.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE id = %s", [job_id])

    at_once(dsn, settle, cancel)
    counts = "SELECT meta ->> 'baton_hook', count(*), count(DISTINCT args ->> 'id') FROM oban_jobs GROUP BY 1"
    rows = {hook: (jobs, workflows) for hook, jobs, workflows in conn.execute(counts).fetchall() if hook}
    assert rows == {"on_settled": (rounds, rounds), "on_cancelled": (rounds, rounds)}


async def test_a_workflow_that_is_retried_and_ends_again_starts_only_hooks_that_were_not_started(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        flow = Flow("again", steps.fails_once_more, on_settled=hooks.settled, on_discarded=hooks.discarded)
        workflow = await flow.options(on_cancelled=hooks.cancelled).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "discarded"
        await until_run(conn, 2)
        assert await workflow.retry()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert called() == ["discarded", "settled"]
        assert len(hook_jobs(conn)) == 2
        with conn.transaction():  # so that nobody runs it in between
            conn.execute("UPDATE oban_jobs SET state = 'available' WHERE meta ? 'workflow_id'")
            conn.execute("UPDATE workflow_nodes SET outcome = NULL")
            conn.execute("UPDATE baton_workflows SET outcome = NULL, settled_at = NULL, unsettled = 1")
            conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE meta ? 'workflow_id'")
        await until_run(conn, 3)
    assert called() == ["cancelled", "discarded", "settled"]


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (hooks.fails, "RuntimeError: the pager is broken"),
        (hooks.exits, 'BTN514: hook "tests/integration/modules/hooks:exits" raised SystemExit'),
        (hooks.exits_the_loop, "raised SystemExit, which is no Exception: out of here"),
    ],
)
async def test_a_hook_that_raises_is_not_called_again(
    start_oban: StartOban, conn: psycopg.Connection[Any], hook: Any, error: str
) -> None:
    async with start_oban():
        await Flow("bad", steps.noop, on_settled=hook).insert()
        await until(lambda: hook_jobs(conn) == {"on_settled": "discarded"}, TIMEOUT)
    assert called() == [hook.__name__]
    errors = conn.execute("SELECT errors -> 0 ->> 'error' FROM oban_jobs WHERE meta ? 'baton_hook'").fetchone()
    assert errors is not None
    assert error in errors[0]


async def test_a_hook_whose_process_is_killed_is_not_called_again(
    start_oban: StartOban, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    hooks.killed.insert(conn)
    with oban_start(dsn, "default:2") as process:
        begun = "SELECT to_regclass('begun') IS NOT NULL"
        await until(lambda: conn.execute(begun).fetchone() == (True,), TIMEOUT)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    async with start_oban(queues={}) as oban:
        await oban._query.rescue_jobs(0)
    assert hook_jobs(conn) == {"on_settled": "discarded"}


async def test_a_hook_that_this_process_can_not_import_is_left_to_another(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    hooked("first").insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE meta ? 'workflow_id'")
    conn.execute("UPDATE oban_jobs SET worker = replace(worker, 'hooks:settled', 'hooks:renamed')")
    async with start_oban():
        await until(lambda: hook_jobs(conn) == {"on_settled": "scheduled"}, TIMEOUT)
    said = conn.execute("SELECT attempt, meta #>> '{baton_absent,reason}' FROM oban_jobs WHERE meta ? 'baton_hook'")
    assert said.fetchone() == (0, 'module "tests.integration.modules.hooks" has no hook "renamed"')


def test_a_flow_without_hooks_inserts_nothing_for_them(conn: psycopg.Connection[Any]) -> None:
    Flow("plain", steps.noop).insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'completed'")
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (1,)
    assert conn.execute("SELECT hooks FROM baton_workflows").fetchone() == (None,)


def test_hooks_run_in_the_queue_that_is_named(conn: psycopg.Connection[Any]) -> None:
    hooked("first").options(hook_queue="ops", on_discarded=None).insert(conn)
    conn.execute('LISTEN "public.oban_insert"')
    conn.execute("UPDATE oban_jobs SET state = 'discarded'")
    assert conn.execute(JOBS).fetchall() == [("on_settled", "available", "ops")]
    heard = [notification.payload for notification in conn.notifies(timeout=TIMEOUT, stop_after=1)]
    assert heard == ['{"queue" : "ops"}']


class Pager:
    def page(self, _status: object) -> None: ...


@pytest.mark.parametrize(
    ("hook", "got"),
    [
        (lambda _status: None, "a lambda"),
        (Pager().page, "<bound method Pager.page of"),
        (Pager.page, "a method"),
        (steps.noop, "the step 'noop'"),
        (steps.billing.validate, "<bound method"),
        (at_once_start, "start(conn"),
        (7, "7"),
    ],
)
def test_a_hook_that_no_worker_could_call_is_refused_at_once(hook: Any, got: str) -> None:
    with pytest.raises(FlowError) as caught:
        Flow("bad", on_settled=hook)
    assert caught.value.code == "BTN305"
    expected = 'option "on_settled" of a flow must be a function of one argument that a worker can import by name, got '
    assert f"{expected}{got}" in str(caught.value)


# --- telemetry ---------------------------------------------------------------------------------------------------


@dataclass
class Told:
    events: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, name: str, metadata: dict[str, Any]) -> None:
        assert name == end_reporter.STOP
        self.events.append(metadata)


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    telemetry.attach("test", [*end_reporter.EVENTS], told)
    yield told
    telemetry.detach("test")


async def test_an_end_is_told_to_telemetry_with_what_there_is_to_say(start_oban: StartOban, told: Told) -> None:
    async with start_oban():
        workflow = await hooked("first", "second").options(workflow_name="a label").insert()
        status = await workflow.wait(TIMEOUT)
        await until(lambda: bool(told.events), TIMEOUT)
    (event,) = told.events
    assert status.settled_at is not None
    lasted = status.settled_at - status.inserted_at
    assert event.pop("system_time") > 0
    assert event == {
        "workflow_id": workflow.id,
        "workflow_name": "a label",
        "flow": "hooked",
        "outcome": "completed",
        "counts": {"completed": 2},
        "duration": round(lasted.total_seconds() * 1_000_000) * 1000,
    }


async def test_of_several_instances_one_tells_each_end_whoever_ended_it(
    start_oban: StartOban, conn: psycopg.Connection[Any], told: Told
) -> None:
    async with start_oban(), start_oban(name="second"), start_oban(name="third"):
        workflows = [await hooked("first").options(workflow_id=f"w{number}").insert() for number in range(20)]
        hooked("first").options(workflow_id="by hand").insert(conn)
        conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE meta ->> 'workflow_id' = 'by hand'")
        for workflow in workflows:
            await workflow.wait(TIMEOUT)
        await until(lambda: len(told.events) >= 21, TIMEOUT)
    assert sorted(event["workflow_id"] for event in told.events) == sorted(["by hand", *(w.id for w in workflows)])


async def test_a_second_end_after_a_retry_is_told_too(start_oban: StartOban, told: Told) -> None:
    async with start_oban():
        workflow = await Flow("again", steps.fails_once_more).insert()
        await workflow.wait(TIMEOUT)
        await until(lambda: len(told.events) == 1, TIMEOUT)
        await workflow.retry()
        await workflow.wait(TIMEOUT)
        await until(lambda: len(told.events) == 2, TIMEOUT)
    assert [event["outcome"] for event in told.events] == ["discarded", "completed"]


async def test_an_end_that_nobody_heard_is_told_by_the_next_process_that_starts(
    start_oban: StartOban, conn: psycopg.Connection[Any], told: Told
) -> None:
    hooked("first").insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE meta ? 'workflow_id'")
    async with start_oban():
        await until(lambda: len(told.events) == 1, TIMEOUT)


async def test_an_end_whose_notification_was_lost_is_told_all_the_same(
    start_oban: StartOban, conn: psycopg.Connection[Any], told: Told
) -> None:
    with patch.object(end_reporter, "LOOK", 0.01), patch.object(end_reporter.EndReporter, "_hear", lambda *_: None):
        async with start_oban():
            workflow = await hooked("first").insert()
            await workflow.wait(TIMEOUT)
            await until(lambda: len(told.events) == 1, TIMEOUT)


async def test_ends_are_told_after_the_database_has_refused_to_tell_them(
    start_oban: StartOban, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a standby, which is read-only for a moment after a failover."""
    refusals: list[psycopg.Error] = [psycopg.errors.ReadOnlySqlTransaction(), psycopg.errors.InsufficientPrivilege()]
    untold = end_reporter.EndReporter._untold

    async def refusing(teller: end_reporter.EndReporter, *asked: Any) -> list[dict[str, Any]]:
        if refusals:
            raise refusals.pop()
        return await untold(teller, *asked)

    monkeypatch.setattr(end_reporter.EndReporter, "_untold", refusing)
    monkeypatch.setattr(end_reporter, "LOOK", 0.01)
    async with start_oban():
        await (await hooked("first").insert()).wait(TIMEOUT)
        await until(lambda: len(told.events) == 1, TIMEOUT)
    assert refusals == []


async def test_where_no_handler_is_attached_nothing_is_asked(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    with patch.dict(bridge.telemetry_core._handlers, clear=True):  # another test may have attached one
        async with start_oban():
            await (await hooked("first").insert()).wait(TIMEOUT)
            await until_run(conn, 1)
        assert conn.execute("SELECT told_at FROM baton_workflows").fetchone() == (None,)
        assert not bridge.is_heard(end_reporter.STOP)


# --- what is kept ------------------------------------------------------------------------------------------------


def test_workflows_of_the_same_code_share_one_fingerprint_whatever_their_shapes(conn: psycopg.Connection[Any]) -> None:
    for size in (1, 2, 3):
        flow = Flow("tiles")
        for number in range(size):
            flow.add(f"tile{number}", steps.number.bind(value=number))
        flow.insert(conn)
    steps.billing.insert(conn, api_key="k")
    assert conn.execute("SELECT count(DISTINCT fingerprint) FROM baton_workflows").fetchone() == (2,)
    assert conn.execute("SELECT count(*) FROM baton_flows").fetchone() == (2,)


def test_the_first_insert_of_a_flow_waits_for_nobody_who_inserts_it_too(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(dsn) as other:
        steps.billing.insert(other, api_key="k")
        conn.execute("SET statement_timeout = '5s'")
        steps.billing.insert(conn, api_key="k")
        other.commit()
    assert conn.execute("SELECT count(*), count(DISTINCT fingerprint) FROM baton_flows").fetchone() == (2, 1)


def test_pruning_takes_fingerprints_that_no_workflow_has_any_more(dsn: str, conn: psycopg.Connection[Any]) -> None:
    Flow("plain", steps.noop).insert(conn)
    steps.billing.insert(conn, api_key="k")
    conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE worker LIKE '%noop'")
    conn.execute("UPDATE baton_workflows SET settled_at = settled_at - interval '2 days'")
    conn.execute("UPDATE baton_flows SET inserted_at = inserted_at - interval '2 days'")
    assert prune_sync(Database.configured(dsn=dsn), timedelta(days=1)) == 1
    kept = conn.execute("SELECT signatures ->> 'flow' FROM baton_flows").fetchall()
    assert kept == [("billing",)]
