"""Runs in memory: their reports, virtual time, replacements, and sequences of operators' commands."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel, Snooze

from baton_dsl import Flow, Skip, StepContext, step
from baton_dsl.errors import (
    InputError,
    ItemNotFoundError,
    ReplacementError,
    ResultNotReadyError,
    RetryError,
    RunError,
    StepNotInWorkflowError,
)
from baton_dsl.testing import Baton, attempts, context
from tests.testing import flows
from tests.testing.flows import Report, Token, billing, charge, fetch_token, orders, regions, report, shop, summary

TOKEN = Token(value="t")


async def test_a_failed_attempt_is_tried_again_and_nobody_waits_for_the_backoff(baton: Baton) -> None:
    run = await baton.run(billing, api_key="x", replace={fetch_token: TOKEN, charge: [ConnectionError("no route"), 12]})
    assert run.outcome == "completed"
    assert run[report] == Report(total=12)
    assert run.attempts(charge) == 2
    assert run.elapsed == timedelta(seconds=2)
    assert "ConnectionError: no route" in run.errors(charge)[0]
    assert [call.arguments for call in run.calls(charge)] == [{"fetch_token": TOKEN}] * 2


def test_a_plain_test_blocks_instead(baton: Baton) -> None:
    run = baton.sync.run(billing, api_key="x", amount=30, replace={"fetch_token": TOKEN})
    assert run.results == {"fetch_token": TOKEN, "charge": 30, "report": Report(total=30)}
    assert str(run).splitlines()[0].endswith("fetch_token  completed")


async def test_what_is_wrong_with_the_inputs_is_told_as_by_insert(baton: Baton) -> None:
    with pytest.raises(InputError, match="api_key"):
        await baton.run(billing)


async def test_items_are_replaced_by_a_function_and_fail_alone(baton: Baton) -> None:
    def order(region: str) -> int:
        if region.endswith("south"):
            raise ValueError("no stock")
        return 7

    run = await baton.run(shop, country="de", replace={orders: order})
    assert run.outcome == "discarded"
    assert run[summary] == "7, discarded: ValueError: no stock"
    assert run[orders, 0] == 7
    with pytest.raises(ResultNotReadyError, match='"orders" was discarded'):
        run.results_of(orders)
    with pytest.raises(
        ItemNotFoundError, match='step "summary" is not mapped, so it has one result and no list of them'
    ):
        run.results_of(summary)
    assert [item.state for item in run.items(orders)] == ["completed", "discarded"]
    assert run.attempts(orders) == 3
    assert run.attempts(orders, 1) == 2
    assert run.elapsed == timedelta(minutes=1)
    assert "items failed" in run.errors(orders)[0]
    with pytest.raises(ResultNotReadyError, match="no stock"):
        _ = run[orders, 1]
    with pytest.raises(ItemNotFoundError):
        _ = run[orders, 2]
    with pytest.raises(StepNotInWorkflowError, match="did you mean"):
        _ = run["order"]


async def test_a_list_is_a_value_where_the_step_returns_one_and_attempts_says_otherwise(baton: Baton) -> None:
    run = await baton.run(shop, country="de", replace={regions: ["a", "bb"]})
    assert run[orders] == [1, 2]
    run = await baton.run(shop, country="de", replace={regions: attempts(OSError(), ["a"])})
    assert run.attempts(regions) == 2
    assert run[orders] == [1]


@pytest.mark.parametrize(
    ("replace", "told"),
    [
        ({charge: "twelve"}, 'step "charge" is replaced by str, which is no int'),
        ({"chargee": 12}, 'did you mean "charge"?'),
        ({orders: 12}, 'has no step "orders" to replace'),
        ({12: 12}, "got 12"),
        ({charge: [ConnectionError(), "twelve"]}, "is replaced by str"),
        ({charge: Report(total=1)}, "is replaced by Report"),
    ],
)
async def test_a_replacement_that_can_not_be_is_told_before_anything_runs(
    baton: Baton, replace: dict[Any, Any], told: str
) -> None:
    with pytest.raises(ReplacementError, match="BTN601") as raised:
        await baton.run(billing, api_key="x", replace=replace)
    assert told in str(raised.value)


async def test_what_a_function_in_place_of_a_step_returns_is_checked_as_the_steps_own(baton: Baton) -> None:
    run = await baton.run(billing, api_key="x", replace={fetch_token: lambda: "no token"})
    assert run.outcome == "discarded"
    assert run.attempts(fetch_token) == 1
    assert "BTN502" in run.errors(fetch_token)[0]
    assert "BTN507: cancelled, since an upstream was discarded" in run.errors(report)


async def test_a_step_that_is_replaced_by_its_endings_ends_so(baton: Baton) -> None:
    replace = {fetch_token: attempts(Snooze(60), TOKEN), charge: Cancel("too dear")}
    run = await baton.run(billing, api_key="x", replace=replace)
    assert run.outcome == "cancelled"
    assert run.elapsed == timedelta(minutes=1)
    assert run.attempts(fetch_token) == 1
    run = await baton.run(billing, api_key="x", replace={fetch_token: Skip("no")})
    assert {node.step: node.state for node in run.nodes} == dict.fromkeys(billing.step_names, "skipped")
    run = await baton.run(flows.skipping)
    assert run[flows.can_do_without] == -1
    assert run.errors(flows.needs) == ["BTN512: skipped, since an upstream was"]


async def test_time_is_virtual_for_timeouts_sleeps_schedules_and_snoozes(baton: Baton) -> None:
    began = time.monotonic()
    run = await baton.run(Flow("slow", flows.slow))
    assert run.elapsed == timedelta(seconds=3)
    assert "timed out after 3.0s" in run.errors(flows.slow)[0]
    run = await baton.run(Flow("patient", flows.patient))
    assert run.elapsed == timedelta(seconds=1_000_000)
    run = await baton.run(Flow("later", flows.later))
    assert run.elapsed == pytest.approx(timedelta(days=2), abs=timedelta(seconds=1))
    flows.later_seen.clear()
    run = await baton.run(Flow("again", flows.again))
    assert run.elapsed == timedelta(hours=1)
    assert run.attempts(flows.again) == 1
    assert time.monotonic() - began < 60


async def test_the_clock_can_be_moved_by_hand(baton: Baton) -> None:
    run = baton.start(Flow("later", flows.later))
    assert run.nodes[0].state == "scheduled"
    before = baton.clock.now()
    baton.clock.advance(days=3)
    assert baton.clock.now() - before == timedelta(days=3)
    await run.finish()
    assert run.outcome == "completed"
    with pytest.raises(ValueError, match="forward"):
        baton.clock.advance(hours=-1)


async def test_a_run_is_stepped_and_operated(baton: Baton) -> None:
    run = baton.start(billing, api_key="x", replace={fetch_token: TOKEN, charge: [OSError(), OSError(), 12]})
    assert run.outcome is None
    await run.until(charge, "retryable")
    assert run.attempts(charge) == 1
    assert "charge" in run.why(report)
    assert await run.pause()
    assert not await run.pause()
    await run.finish()
    assert run.outcome is None
    assert await run.resume()
    await run.until(charge, "retryable")
    assert await run.cancel()
    assert run.outcome == "cancelled"
    assert not await run.cancel()
    assert await run.retry()
    await run.finish()
    assert run.outcome == "completed"
    assert await run.retry(from_step=report)
    await run.finish()
    assert [len(run.calls(it)) for it in (fetch_token, charge, report)] == [1, 3, 2]
    with pytest.raises(RunError, match="does not run"):
        await run.crash(charge)


async def test_a_step_that_runs_can_be_interrupted_and_its_process_can_die(baton: Baton) -> None:
    run = baton.start(Flow("patient", flows.patient))
    await run.until(flows.patient, "executing")
    await run.cancel()
    await run.finish()
    assert run.outcome == "cancelled"
    assert "cancelled while it ran" in run.errors(flows.patient)[-1]
    run = baton.start(Flow("patient", flows.patient))
    await run.until(flows.patient, "executing")
    with pytest.raises(RetryError, match="BTN415"):
        await run.retry(from_step=flows.patient)
    await run.crash(flows.patient)
    await run.finish()
    assert run.outcome == "completed"
    assert run.attempts(flows.patient) == 2


async def test_a_retry_gives_as_many_attempts_as_it_is_asked_for(baton: Baton) -> None:
    run = baton.start(billing, api_key="x", replace={fetch_token: TOKEN, charge: [OSError()] * 10})
    await run.until(charge, "retryable")
    await run.cancel()
    assert await run.retry(attempts=2)
    await run.finish()
    assert (run.outcome, run.attempts(charge)) == ("discarded", 3)
    assert await run.retry(charge, attempts=1)
    await run.finish()
    assert (run.outcome, run.attempts(charge)) == ("discarded", 4)
    with pytest.raises(ValueError, match="whole number from 1"):
        await run.retry(attempts=0)


async def test_a_hook_is_called_once_and_can_be_replaced(baton: Baton) -> None:
    flows.ended.clear()
    run = await baton.run(billing, api_key="x", replace={fetch_token: TOKEN})
    assert [status.outcome for status in flows.ended] == ["completed"]
    assert flows.ended[0].counts == {"completed": 3}
    run = await baton.run(
        billing, api_key="x", replace={fetch_token: TOKEN, flows.note_the_end: OSError("mail is down")}
    )
    assert list(map(repr, run.hook_errors.values())) == ["OSError('mail is down')"]
    assert len(flows.ended) == 1


async def test_what_never_ends_is_told(baton: Baton) -> None:
    with pytest.raises(RunError, match="BTN602"):
        await baton.run(Flow("again", flows.deaf), replace={flows.deaf: Snooze(86_400)})


@pytest.mark.parametrize("flow", [Flow("stuck", flows.waits_for_nothing)])
async def test_a_step_that_waits_for_what_never_comes_is_told(
    baton: Baton, flow: Flow[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton_dsl.testing.clock.PATIENCE", 0.05)
    with pytest.raises(RunError, match="waits for something that never comes"):
        await baton.run(flow)


async def test_a_step_with_a_connection_needs_a_replacement_or_a_database(baton: Baton) -> None:
    run = await baton.run(Flow("writes", flows.writes), replace={flows.writes: 1})
    assert run[flows.writes] == 1
    run = await baton.run(Flow("writes", flows.writes), replace={flows.writes: lambda: 2})
    assert run[flows.writes] == 2
    with pytest.raises(RunError, match="has no database"):
        await baton.run(Flow("writes", flows.writes))


async def test_no_step_sees_the_context_of_another(baton: Baton) -> None:
    run = await baton.run(Flow("leaks", flows.leaks, flows.looks))
    assert run[flows.looks] == "unset"


async def test_steps_run_on_a_loop_of_their_own_beside_that_of_the_test(baton: Baton) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def ask() -> Token:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        async with asyncio.timeout(60):  # its time is real while a socket is open
            line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return Token(value=line.decode().strip())

    async with server:
        run = await baton.run(billing, api_key="x", replace={fetch_token: ask})
    assert run.outcome == "completed"


def test_hundred_steps_take_a_few_milliseconds(baton: Baton) -> None:
    flow = Flow("wide")
    for number in range(100):
        flow.add(f"s{number}", flows.deaf, deps=[f"s{number - 1}"] if number % 10 else [])
    baton.sync.run(flow)
    took = []
    for _ in range(5):
        began = time.process_time()
        assert baton.sync.run(flow).outcome == "completed"
        took.append(time.process_time() - began)
    assert min(took) < 0.25  # 0.03 s on an idle machine; `make bench testing` measures it


def test_a_context_is_made_for_a_unit_test() -> None:
    @step
    def pay(amount: int, context: StepContext) -> str:
        return f"{context.model} {amount} {context.attempt} {context.idempotency_key} {context.upstream['rate']}"

    made = context(attempt=3, model="m", step="pay", index=2, upstream={"rate": 0.5})
    assert pay(12, made) == "m 12 3 test:pay[2] 0.5"
    assert not context().cancelled()
    assert context(cancelled=True).cancelled()
    assert context(attempt=30).job.max_attempts == 30


def test_a_run_that_nobody_closes_leaves_no_loop_open() -> None:
    with warnings.catch_warnings(record=True, action="always") as told:
        Baton().sync.run(Flow("one").add("numbers", flows.numbers))
        gc.collect()
    assert not [str(each.message) for each in told if issubclass(each.category, ResourceWarning)]
