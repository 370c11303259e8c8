"""What the database reports about workflows, nodes, queues and processes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from baton_dsl import Each, Flow, Input, Workflow, step
from baton_dsl.errors import ItemNotFoundError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read, read_sync
from baton_dsl.runtime.listing import Count, count, counts, full_ids, workflows
from baton_dsl.runtime.observing.fleet import nodes, queues
from baton_dsl.runtime.observing.record import record
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.observing.workflow_record import items, workflow_record
from tests.conftest import StartOban, until
from tests.integration.modules import mapped, steps
from tests.integration.modules.long_steps import hangs
from tests.integration.test_orphans import DEAD

TIMEOUT = 60


@step
def priced(order: Input[str], amount: Input[int] = 3) -> dict[str, int]:
    """Takes inputs."""
    return {order: amount}


@step
def doubled(priced: dict[str, int]) -> dict[str, int]:
    """Takes a result."""
    return {order: 2 * amount for order, amount in priced.items()}


@step(max_attempts=2, backoff=0)
def declined(doubled: dict[str, int]) -> None:
    """Fails."""
    raise RuntimeError(f"no money for {doubled}")


@step(queue="nobody")
def elsewhere_squares(numbers: Each[int]) -> int:
    """Runs nowhere."""
    return numbers


elsewhere = Flow("elsewhere", mapped.numbers, elsewhere_squares)
priced_flow = Flow("pricing", priced, doubled, declined)


@pytest.fixture
def asked(dsn: str) -> Database:
    return Database.configured(dsn=dsn)


async def ended(workflow: Workflow[Any]) -> None:
    await workflow.wait(TIMEOUT)


async def test_a_record_tells_what_a_node_took_returned_and_raised(start_oban: StartOban, asked: Database) -> None:
    async with start_oban():
        workflow = await priced_flow.insert(order="a")
        await ended(workflow)
    found = await read(asked, record(workflow.id, "doubled"))
    assert [(it.step, it.outcome, it.result and it.result.value) for it in found.takes] == [
        ("priced", "completed", {"a": 3})
    ]
    assert found.result is not None
    assert (found.result.value, found.flow, found.inputs) == ({"a": 6}, "pricing", {})
    assert [(it.number, it.state, it.error) for it in found.attempts] == [(1, "completed", None)]
    assert found.attempts[0].ended_at == found.node.settled_at
    first = await read(asked, record(workflow.id, "priced"))
    assert first.inputs is not None
    assert {name: value.value for name, value in first.inputs.items()} == {"order": "a"}
    failed = read_sync(asked, record(workflow.id, "declined"))
    assert [(it.number, it.state) for it in failed.attempts] == [(1, "failed"), (2, "discarded")]
    for attempt in failed.attempts:
        assert attempt.error is not None
        assert attempt.error.startswith("Traceback")
        assert attempt.error.endswith("RuntimeError: no money for {'a': 6}\n")
    assert failed.attempts[-1].began_at == failed.node.attempted_at
    assert failed.result is None
    assert failed.why.startswith('"declined" was discarded')


async def test_a_record_of_an_item_tells_its_own_item(start_oban: StartOban, asked: Database) -> None:
    async with start_oban():
        workflow = await mapped.summing.insert(count=3)
        await ended(workflow)
    item = await read(asked, record(workflow.id, "squares[2]"))
    assert item.part_of == "squares"
    assert (item.takes[0].step, item.takes[0].result and item.takes[0].result.value) == ("numbers", 2)
    whole = await read(asked, record(workflow.id, "squares"))
    assert whole.result is not None
    assert whole.result.value == [0, 1, 4]
    assert whole.node.items == {"completed": 3}
    assert [it.step for it in await read(asked, items(workflow.id, "squares", most=2, skip=1))] == [
        "squares[1]",
        "squares[2]",
    ]


async def test_records_of_what_is_not_there_say_so(start_oban: StartOban, asked: Database) -> None:
    with pytest.raises(WorkflowNotFoundError):
        await read(asked, record("nowhere", "priced"))
    with pytest.raises(WorkflowNotFoundError):
        await read(asked, workflow_record("nowhere"))
    async with start_oban():
        workflow = await mapped.summing.insert(count=1)
        await ended(workflow)
    with pytest.raises(StepNotInWorkflowError, match="did you mean") as told:
        await read(asked, record(workflow.id, "square"))
    assert told.value.code == "BTN408"
    for index in ("[1]", "[x]", "[]"):
        with pytest.raises(ItemNotFoundError):
            await read(asked, record(workflow.id, f"squares{index}"))
    for name in ("\0", "squares]", "\udcff[1]"):
        with pytest.raises(StepNotInWorkflowError):
            await read(asked, record(workflow.id, name))


async def test_a_record_outlives_its_job(start_oban: StartOban, asked: Database, conn: psycopg.Connection[Any]) -> None:
    async with start_oban():
        workflow = await priced_flow.insert(order="a")
        await ended(workflow)
    conn.execute("DELETE FROM oban_jobs")
    found = await read(asked, record(workflow.id, "declined"))
    assert (found.is_job_gone, found.inputs, found.attempts) == (True, None, [])
    whole = await read(asked, workflow_record(workflow.id))
    assert whole.inputs.value == {"order": "a"}
    assert {name: value.value for name, value in whole.results.items()} == {"priced": {"a": 3}, "doubled": {"a": 6}}
    assert whole.status.outcome == "discarded"


async def test_long_values_are_cut_and_say_how_long_they_are(start_oban: StartOban, asked: Database) -> None:
    async with start_oban():
        workflow = await priced_flow.insert(order="\u00e9" * 5000)
        await ended(workflow)
    found = await read(asked, record(workflow.id, "priced", most=100))
    assert found.result is not None
    assert found.inputs is not None
    assert (found.result.is_cut, len(found.result.text)) == (True, 100)
    assert found.result.size == len(
        json.dumps({"\u00e9" * 5000: 3}, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert (found.inputs["order"].is_cut, found.inputs["order"].size) == (True, 10002)
    whole = await read(asked, record(workflow.id, "priced"))
    assert whole.result is not None
    assert not whole.result.is_cut


async def test_an_attempt_that_runs_and_one_whose_process_is_gone_are_told(
    start_oban: StartOban, asked: Database, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(shutdown_grace_period=0.1):
        workflow = await Flow("long", hangs).insert()

        async def runs() -> bool:
            return (await read(asked, record(workflow.id, "hangs"))).node.state == "executing"

        await until(runs)
        found = await read(asked, record(workflow.id, "hangs"))
        assert [(it.state, it.ended_at) for it in found.attempts] == [("executing", None)]
        assert found.attempts[0].runs_on
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempted_by = %s", [["gone", DEAD]])
    found = await read(asked, record(workflow.id, "hangs"))
    assert [it.state for it in found.attempts] == ["lost"]


async def test_what_nobody_runs_is_stuck_and_what_runs_is_not(
    start_oban: StartOban, asked: Database, conn: psycopg.Connection[Any]
) -> None:
    async def standing(workflow: Workflow[Any]) -> str:
        return {it.id: it.standing for it in await read(asked, workflows())}[workflow.id]

    async with start_oban(queues={"other": 1}):
        workflow = await mapped.summing.insert(count=2)
        assert await standing(workflow) == "stuck"
    async with start_oban(queues={"default": 1}, shutdown_grace_period=0.1) as oban:
        await ended(workflow)
        assert await standing(workflow) == "completed"
        long = await Flow("long", hangs).insert()

        async def runs() -> bool:
            return (await long.nodes())[0].state == "executing"

        await until(runs)
        assert await standing(long) == "running"
        waiting = await Flow("waiting", steps.noop).insert()
        assert await standing(waiting) == "running"  # for a slot, which will be free some day
        await oban.pause_queue("default")

        async def is_stuck() -> bool:
            return await standing(waiting) == "stuck"

        await until(is_stuck)
        assert await standing(long) == "running"
        assert [it.id for it in await read(asked, workflows(WorkflowFilter(is_stuck=True)))] == [waiting.id]
        assert await read(asked, count(WorkflowFilter(is_stuck=False))) == 2
        assert (await read(asked, counts(most=10)))["stuck"] == Count(1, has_more=False)
        await waiting.pause()
        assert await standing(waiting) == "paused"
        await waiting.cancel()
        assert await standing(waiting) == "cancelled"
        told = await read(asked, counts(most=10))
        assert {standing: found.number for standing, found in told.items()} == {
            "running": 1, "stuck": 0, "paused": 0, "stopping": 0, "completed": 1, "cancelled": 1, "discarded": 0
        }  # fmt: skip
    conn.execute(
        "UPDATE oban_jobs SET state = 'executing', attempted_by = %s WHERE queue = 'default'", [["gone", DEAD]]
    )
    assert await standing(long) == "stuck"
    conn.execute("DELETE FROM oban_jobs")
    assert await standing(long) != "running"


async def test_a_map_of_which_no_item_runs_is_not_executing(
    start_oban: StartOban, asked: Database, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={"default": 1}) as oban:
        workflow = await elsewhere.insert(count=3)

        async def has_items() -> bool:
            return bool(await workflow.items("elsewhere_squares"))

        await until(has_items)
        node = (await workflow.nodes())[1]
        assert (node.step, node.state, node.items) == ("elsewhere_squares", "available", {"available": 3})
        assert (await workflow.status()).counts == {"completed": 1, "available": 1}
        assert workflow.sync.status().counts == {"completed": 1, "available": 1}
        conn.execute("UPDATE oban_jobs SET state = 'executing' WHERE queue = 'nobody' AND id % 3 = 0")
        assert (await workflow.nodes())[1].state == "executing"
        assert (await workflow.status()).counts == {"completed": 1, "executing": 1}
        del oban


async def test_pages_of_the_list_follow_each_other(asked: Database, conn: psycopg.Connection[Any]) -> None:
    ids = [priced_flow.insert(conn, order=str(number)).id for number in range(5)]
    conn.execute("UPDATE baton_workflows SET inserted_at = now()")  # all at the same moment
    first = await read(asked, workflows(most=2))
    second = await read(asked, workflows(most=2, behind=(first[-1].inserted_at, first[-1].id)))
    third = await read(
        asked, workflows(WorkflowFilter(flow="pricing"), most=2, behind=(second[-1].inserted_at, second[-1].id))
    )
    assert [it.id for it in (*first, *second, *third)] == sorted(ids, reverse=True)
    for it in (*first, *second, *third):
        assert await read(asked, full_ids([it.short_id])) == [it.id]
        assert [other.id for other in await read(asked, workflows(WorkflowFilter(starting=it.short_id)))] == [it.id]
    assert await read(asked, count(most=3)) == 3
    assert (await read(asked, counts(most=3)))["stuck"] == Count(3, has_more=True)
    conn.execute("UPDATE baton_workflows SET outcome = 'completed' WHERE workflow_id <> %s", [first[0].id])
    told = await read(asked, counts(most=3))
    assert (told["stuck"], told["completed"]) == (Count(1, has_more=False), Count(3, has_more=True))
    assert await read(asked, count(WorkflowFilter(is_paused=True))) == 0


async def test_the_list_counts_no_items(asked: Database, conn: psycopg.Connection[Any]) -> None:
    workflow = elsewhere.insert(conn, count=2)
    conn.execute("UPDATE workflow_nodes SET map_id = 1 WHERE step_name = 'numbers'")  # as if it were an item
    assert [it.steps for it in await read(asked, workflows())] == [2]
    conn.execute("UPDATE baton_workflows SET steps = NULL")  # as an earlier version has inserted it
    assert [(it.id, it.steps) for it in await read(asked, workflows())] == [(workflow.id, 1)]


async def test_queues_tell_who_serves_them_and_for_how_long_their_jobs_wait(
    start_oban: StartOban, asked: Database, conn: psycopg.Connection[Any]
) -> None:
    assert await read(asked, queues()) == []
    workflow = Flow("waits", steps.noop).insert(conn)
    ago = datetime.now(UTC) - timedelta(hours=2)
    conn.execute("UPDATE oban_jobs SET scheduled_at = %s, priority = 5", [ago.replace(tzinfo=None)])
    later = Flow("later", steps.noop).insert(conn)
    conn.execute(
        "UPDATE oban_jobs SET state = 'scheduled', scheduled_at = now() + interval '1 hour', queue = 'mail' "
        "WHERE meta ->> 'workflow_id' = %s",
        [later.id],
    )
    default, mail = await read(asked, queues())
    assert (default.name, default.nodes, default.ready, default.running, default.is_served) == (
        "default",
        [],
        1,
        0,
        False,
    )
    assert default.oldest_ready_at == ago
    assert default.oldest_ready is not None
    assert timedelta(hours=2) <= default.oldest_ready < timedelta(hours=2, minutes=1)
    assert (mail.name, mail.scheduled, mail.ready, mail.oldest_ready) == ("mail", 1, 0, None)
    async with start_oban(queues={"default": 7, "idle": 2}, node="one"):
        await ended(workflow)
        found = {queue.name: queue for queue in await read(asked, queues())}
        assert list(found) == ["default", "idle", "mail"]
        assert (found["idle"].nodes, found["idle"].slots, found["idle"].is_served) == (["one"], 2, True)
        assert (found["default"].slots, found["default"].ready, found["default"].oldest_ready) == (7, 0, None)
        (process,) = await read(asked, nodes())
        assert (process.name, process.is_alive, process.lost_threads, process.is_leaving) == ("one", True, 0, False)
        assert [(it.queue, it.limit, it.is_paused, it.running) for it in process.queues] == [
            ("default", 7, False, 0),
            ("idle", 2, False, 0),
        ]
        assert process.started_at is not None
        assert abs(datetime.now(UTC) - process.started_at) < timedelta(minutes=1)
