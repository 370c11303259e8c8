"""The table of outcomes: every way in which a node can end, and the consequence for steps that wait for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from oban import Oban

import baton_dsl.steps  # noqa: F401 - a process that has loaded it looks after plain jobs of workflows too
from baton_dsl import Flow, Workflow
from baton_dsl.runtime.executing import absent
from tests.conftest import StartOban, until
from tests.integration.modules import outcome_steps as given

TIMEOUT = 60

FIRST = "meta ->> 'workflow_name' = 'first'"

FLAGS = {
    "plain": {},
    "ignores_cancelled": {"ignore_cancelled": True},
    "ignores_discarded": {"ignore_discarded": True},
    "ignores_both": {"ignore_cancelled": True, "ignore_discarded": True},
}
"""Four steps that wait for the one that ends, and how they are inserted."""

GOES_ON = {
    "completed": set(FLAGS),
    "cancelled": {"ignores_cancelled", "ignores_both"},
    "discarded": {"ignores_discarded", "ignores_both"},
    None: set(),
}
"""Which of them run, by the outcome of the one that they wait for. The others are cancelled, or go on waiting."""


def flow_with(first: Any, **options: Any) -> Flow:
    """A step, and the four that wait for it; those are served by a queue of their own."""
    flow = Flow("table").add("first", first, **options)
    for name, flags in FLAGS.items():
        flow.add(name, given.told, **flags)
    return flow


def nodes(conn: psycopg.Connection[Any]) -> dict[str, tuple[str | None, str]]:
    """The outcome of each node, and the state of its job."""
    rows = conn.execute(
        "SELECT step_name, outcome, coalesce(state::text, 'gone') "
        "FROM workflow_nodes LEFT JOIN oban_jobs ON id = oban_job_id"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def id_of_first(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(f"SELECT id FROM oban_jobs WHERE {FIRST}").fetchone()
    assert row is not None
    return int(row[0])


def those_that_wait(outcome: str | None) -> dict[str, tuple[str | None, str]]:
    """The four nodes that wait, after their upstream has this outcome and before they run."""
    stays = (None, "suspended") if outcome is None else ("cancelled", "cancelled")
    return {name: (None, "available") if name in GOES_ON[outcome] else stays for name in FLAGS}


async def run_the_rest(start_oban: StartOban, workflow: Workflow[Any]) -> dict[str, Any]:
    """Run every step that may run, and return the results."""
    async with start_oban(queues={"later": 5}):
        await workflow.wait(TIMEOUT)
        results = await workflow.results()
    return {name: result for name, result in results.items() if name in FLAGS}


# --- a step that runs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """How a step ends that runs once.

    Attributes:
        step: The step.
        outcome: Of its node.
        state: Of its job.
        says: What stands in the last error of the job.
        first: SQL that makes it end so, before it runs.
    """

    step: Any
    outcome: str | None
    state: str
    says: str = ""
    first: str = "SELECT"


UNKNOWN = (
    f"UPDATE oban_jobs SET worker = 'baton_dsl.steps.tests/integration/modules/outcome_steps:vanished' WHERE {FIRST}"
)
NO_WORKER = f"UPDATE oban_jobs SET worker = 'nowhere.Worker' WHERE {FIRST}"
LAST = f"UPDATE oban_jobs SET max_attempts = 1 WHERE {FIRST}"

BY_ITSELF = {
    "a result": Row(given.returns, "completed", "completed"),
    "an exception, with attempts left": Row(given.raises, None, "retryable", "no luck today"),
    "an exception in the last attempt": Row(given.raises_at_last, "discarded", "discarded", "no luck at all"),
    "Cancel": Row(given.returns_cancel, "cancelled", "cancelled", "not today"),
    "context.cancel": Row(given.cancels, "cancelled", "cancelled", "not today"),
    "Snooze": Row(given.returns_snooze, None, "scheduled"),
    "context.snooze in the last attempt": Row(given.snoozes, None, "scheduled"),
    "a timeout, with attempts left": Row(given.hangs, None, "retryable", "timed out"),
    "a timeout in the last attempt": Row(given.hangs_at_last, "discarded", "discarded", "timed out"),
    "a CancelledError that nobody asked for": Row(given.awaits_what_was_cancelled, "discarded", "discarded", "BTN514"),
    "an exit in a thread, with attempts left": Row(given.exits, None, "retryable", "out of here"),
    "an exit on the loop, in the last attempt": Row(given.exits_at_last, "discarded", "discarded", "out of here"),
    "context.cancel in a task group": Row(given.cancels_in_a_group, "cancelled", "cancelled", "not today"),
    "a result that is not what it says": Row(given.lies, "discarded", "discarded", "BTN502"),
    "a result that is too large": Row(given.boasts, "discarded", "discarded", "BTN503"),
    "an input that is not what it was": Row(
        given.misreads.bind(number=1),
        "discarded",
        "discarded",
        "BTN504",
        f"""UPDATE oban_jobs SET args = '{{"number": "one"}}' WHERE {FIRST}""",
    ),
    "a step that is not here, with attempts left": Row(given.returns, None, "scheduled", "", UNKNOWN),
    "a step that is not here, in the last attempt": Row(given.returns, None, "scheduled", "", f"{UNKNOWN}; {LAST}"),
    "a worker that nobody knows, in the last attempt": Row(
        given.returns, "discarded", "discarded", "nowhere", f"{NO_WORKER}; {LAST}"
    ),
}


WITH_BTN514 = "which is no Exception: no luck today"
FIRST_ARGS = "UPDATE oban_jobs SET args = jsonb_build_object('choosy', '{}') WHERE " + FIRST

UNTELLABLE = {
    "an error without a text": Row(
        given.raises_what_has_no_text,
        "discarded",
        "discarded",
        "NoTextError: (it has no text: __str__ raised IndexError",
    ),
    "an error whose text exits": Row(
        given.raises_what_exits_when_it_is_told, None, "retryable", "(it has no text: __str__ raised SystemExit: 3)"
    ),
    "an error whose class has no name": Row(
        given.raises_what_has_no_name, "discarded", "discarded", "WithoutANameError: no luck today"
    ),
    "GeneratorExit in a thread": Row(given.raises_generator_exit, "discarded", "discarded", WITH_BTN514),
    "GeneratorExit on the loop": Row(given.raises_generator_exit_on_the_loop, "discarded", "discarded", WITH_BTN514),
    "StopIteration in a thread": Row(given.raises_stop_iteration, "discarded", "discarded", "raised StopIteration"),
    "a group of all kinds": Row(
        given.raises_a_group_of_all_kinds, "discarded", "discarded", "which is no Exception: no luck today (3 sub-"
    ),
    "a long text": Row(given.raises_a_long_text, "discarded", "discarded", "characters are left out"),
    "a long cause": Row(given.raises_with_a_long_cause, "discarded", "discarded", "ValueError: no luck today"),
    "circular causes": Row(given.raises_with_circular_causes, "discarded", "discarded", "ValueError: no luck today"),
    "deep causes": Row(given.raises_with_deep_causes, "discarded", "discarded", "ValueError: no luck today"),
    "a backoff that fails": Row(given.has_a_backoff_that_fails, None, "retryable", "no luck today"),
    "a backoff that is no number": Row(given.has_a_backoff_that_is_no_number, None, "retryable", "no luck today"),
    "an endless backoff": Row(given.has_an_endless_backoff, None, "retryable", "no luck today"),
    "Cancel with what has no text": Row(given.cancels_with_what_has_no_text, "cancelled", "cancelled", "no luck with"),
    "Cancel with a long reason": Row(given.cancels_with_a_long_reason, "cancelled", "cancelled", "no luck xxx"),
    "Snooze for no time": Row(given.snoozes_for_no_time, "discarded", "discarded", "seconds, got 'soon'"),
    "Snooze for ages": Row(given.snoozes_for_ages, "discarded", "discarded", "Snooze takes at most 2,147,483,647 sec"),
    "Snooze with what is no JSON": Row(given.snoozes_with_what_is_no_json, None, "scheduled"),
    **{
        f"an input whose validator raises: {how}": Row(
            given.misreads_by_a_validator.bind(choosy=given.Choosy("x")),
            "discarded",
            "discarded",
            f'the stored input "choosy" of step "first" is no Choosy: {said}',
            FIRST_ARGS.format(how),
        )
        for how, said in {
            "attribute": "AttributeError: 'list' object",
            "exit": "SystemExit: no luck",
            "text": "NoTextError",
            "name": "WithoutANameError",
        }.items()
    },
    "a plain job: an error without a text": Row(
        given.RaisesWhatHasNoText.new({}), None, "retryable", "<exception str() failed>"
    ),
    "a plain job: an exit": Row(given.Exits.new({}), "discarded", "discarded", "SystemExit: out of here"),
    "a plain job: GeneratorExit": Row(given.ClosesItself.new({}), "discarded", "discarded", "no luck today"),
    "a plain job: a long text": Row(given.RaisesALongText.new({}), "discarded", "discarded", "no luck xxx"),
}
"""What the reporting of Oban's executor can't tell, or the database does not take."""


@pytest.mark.parametrize("row", [*BY_ITSELF.values(), *UNTELLABLE.values()], ids=[*BY_ITSELF, *UNTELLABLE])
async def test_a_step_that_runs_ends_by(
    row: Row, start_oban: StartOban, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_RESULT_LIMIT", "1000")
    monkeypatch.setattr(absent, "pause_of", lambda _: given.HOUR)  # what was given back is not fetched again meanwhile
    async with start_oban(queues={}):
        workflow = await flow_with(row.step).insert()
        conn.execute(row.first)
    async with start_oban(queues={"default": 1}):
        await until(lambda: nodes(conn)["first"][1] == row.state, TIMEOUT)
    assert nodes(conn) == {"first": (row.outcome, row.state), **those_that_wait(row.outcome)}
    told = conn.execute(f"SELECT coalesce(errors -> -1 ->> 'error', '') FROM oban_jobs WHERE {FIRST}")
    (error,) = told.fetchone() or ("",)
    assert row.says in error
    assert len(error) < 70_000
    if row.outcome is not None:
        value = "7" if row.outcome == "completed" else "None"
        assert await run_the_rest(start_oban, workflow) == dict.fromkeys(GOES_ON[row.outcome], value)


# --- a job that somebody changes -------------------------------------------------------------------------------------

type Hand = Callable[[Oban, Workflow[Any], psycopg.Connection[Any]], Awaitable[Any]]


def by_sql(statement: str) -> Hand:
    async def act(_oban: Oban, _workflow: Workflow[Any], conn: psycopg.Connection[Any]) -> None:
        conn.execute(statement)

    return act


async def cancelled_by_oban(oban: Oban, _workflow: Workflow[Any], conn: psycopg.Connection[Any]) -> None:
    await oban.cancel_job(id_of_first(conn))


async def deleted_by_oban(oban: Oban, _workflow: Workflow[Any], conn: psycopg.Connection[Any]) -> None:
    await oban.delete_job(id_of_first(conn))


HANDS: dict[str, tuple[Hand, str, str]] = {
    "Oban cancels it": (cancelled_by_oban, "cancelled", "cancelled"),
    "Oban deletes it": (deleted_by_oban, "cancelled", "gone"),
    "SQL cancels it": (by_sql(f"UPDATE oban_jobs SET state = 'cancelled' WHERE {FIRST}"), "cancelled", "cancelled"),
    "SQL discards it": (by_sql(f"UPDATE oban_jobs SET state = 'discarded' WHERE {FIRST}"), "discarded", "discarded"),
    "SQL completes it": (by_sql(f"UPDATE oban_jobs SET state = 'completed' WHERE {FIRST}"), "completed", "completed"),
    "SQL deletes it": (by_sql(f"DELETE FROM oban_jobs WHERE {FIRST}"), "cancelled", "gone"),
}
"""What is done to the job, and what that makes of its node and of the job."""

COMPLETE_BEFORE = "UPDATE oban_jobs SET state = 'completed' WHERE meta ->> 'workflow_name' = 'before'"
LATER = "scheduled_at = timezone('UTC', now()) + interval '1 hour'"
STATES = {
    "suspended": "SELECT",
    "available": "SELECT",
    "scheduled": f"UPDATE oban_jobs SET state = 'scheduled', {LATER} WHERE {FIRST}",
    "executing": f"UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = '{{n,u}}' WHERE {FIRST}",
    "retryable": f"UPDATE oban_jobs SET state = 'retryable', attempt = 1, {LATER} WHERE {FIRST}",
}
"""How a job gets into each state: from `suspended`, or from `available` once its upstream has completed."""

LEFT_ALONE = {("Oban cancels it", "executing"), ("Oban deletes it", "executing")}
"""What Oban does not do to a job that runs: it is asked to stop, or kept."""


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("hand", HANDS)
async def test_a_job_that_is_changed_takes_its_node_along_in_the_same_statement(
    hand: str, state: str, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await waiting_flow(conn, state)
        act, outcome, ends = HANDS[hand]
        await act(oban, workflow, conn)
        after = nodes(conn)
        after.pop("before")
    if (hand, state) in LEFT_ALONE:
        assert after == {"first": (None, state), **those_that_wait(None)}
        return
    assert after == {"first": (outcome, ends), **those_that_wait(outcome)}
    conn.execute(COMPLETE_BEFORE)
    results = await run_the_rest(start_oban, workflow)
    assert results == dict.fromkeys(GOES_ON[outcome], "None")  # a job that somebody else has completed has no result


async def waiting_flow(conn: psycopg.Connection[Any], state: str) -> Workflow[Any]:
    """The flow of the table with one more step before, and the job of `first` in a given state."""
    workflow = await flow_with(given.returns, deps=["before"]).add("before", given.before).insert()
    if state != "suspended":
        conn.execute(COMPLETE_BEFORE)
        conn.execute(STATES[state])
    assert nodes(conn)["first"] == (None, state)
    return workflow


@pytest.mark.parametrize("state", STATES)
async def test_a_workflow_that_is_cancelled_ends_all_that_has_not_started_whatever_it_ignores(
    state: str, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        workflow = await waiting_flow(conn, state)
        await workflow.cancel()
    after = nodes(conn)
    runs = state == "executing"
    assert after.pop("first") == ((None, "executing") if runs else ("cancelled", "cancelled"))
    after.pop("before")
    assert after == dict.fromkeys(FLAGS, ("cancelled", "cancelled"))


# --- a job that is pruned --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "outcome"),
    [(given.returns, "completed"), (given.cancels, "cancelled"), (given.raises_at_last, "discarded")],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_pruning_of_a_job_that_has_ended_changes_nothing(
    step: Any, outcome: str, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={"default": 1}):
        workflow = await flow_with(step).insert()
        await until(lambda: nodes(conn)["first"][0] == outcome, TIMEOUT)
    conn.execute("DELETE FROM oban_jobs WHERE state IN ('completed', 'cancelled', 'discarded')")
    waiting = {name: node for name, node in those_that_wait(outcome).items() if node[0] is None}
    assert {name: node for name, node in nodes(conn).items() if node[0] is None} == waiting
    value = "7" if outcome == "completed" else "None"
    assert await run_the_rest(start_oban, workflow) == dict.fromkeys(GOES_ON[outcome], value)
    assert (await workflow.status()).outcome == outcome
