"""The sentences about workflows and steps, word by word."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from baton_dsl.core.lifecycle import Outcome, State
from baton_dsl.core.why import NodeFacts, QueueFacts, WorkflowFacts, causes, why

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SERVED = {"default": QueueFacts(nodes=2, slots=20, running=3), "llm": QueueFacts(nodes=1, slots=4, running=4)}
MINUTE = timedelta(minutes=1)


def node(step: str, state: State = State.SUSPENDED, *upstreams: str, **facts: Any) -> NodeFacts:
    outcome = Outcome(state) if state.is_final else None
    return NodeFacts(**{"step": step, "state": state, "upstreams": upstreams, "outcome": outcome, **facts})


def workflow(*nodes: NodeFacts, **facts: Any) -> WorkflowFacts:
    by_name = {node.step: node for node in nodes}
    return WorkflowFacts(**{"now": NOW, "inserted_at": NOW - MINUTE, "queues": SERVED, "nodes": by_name, **facts})


FAILED = node(
    "charge",
    State.RETRYABLE,
    attempt=2,
    max_attempts=5,
    scheduled_at=NOW + 4 * MINUTE,
    error="Traceback (most recent call last):\n  File x\nRuntimeError: no route",
)
DISCARDED = replace(
    FAILED, state=State.DISCARDED, outcome=Outcome.DISCARDED, attempt=5, settled_at=NOW - timedelta(days=1)
)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            node("x", State.COMPLETED, settled_at=NOW, attempt=1),
            '"x" completed at 12:00:00 UTC.',
        ),
        (
            node("x", State.COMPLETED, settled_at=NOW - timedelta(days=3), attempt=2),
            '"x" completed at 2026-11-19 12:00:00 UTC in attempt 2 of 20.',
        ),
        (
            node("x", State.EXECUTING, attempted_at=NOW - MINUTE, attempt=1, runs_on="web-1"),
            '"x" has run since 11:59:00 UTC on node web-1, attempt 1 of 20.',
        ),
        (
            node("x", State.EXECUTING, attempted_at=NOW, attempt=1, runs_on="web-1", is_alive=False),
            '"x" ran on node web-1, whose process is gone: it will start again within seconds.',
        ),
        (
            node("x", State.EXECUTING, attempt=3, max_attempts=3, runs_on="web-1", is_alive=False, is_last_crash=True),
            '"x" ran on node web-1, whose process is gone, as often as it may be: it will be discarded.',
        ),
        (
            FAILED,
            (
                '"charge" failed in attempt 2 of 5 (RuntimeError: no route); attempt 3 starts at 12:04:00 UTC, '
                "in 4 min 0 s."
            ),
        ),
        (
            replace(FAILED, queue="gpu"),
            (
                '"charge" failed in attempt 2 of 5 (RuntimeError: no route); attempt 3 starts at 12:04:00 UTC, '
                'in 4 min 0 s, but no worker runs queue "gpu".'
            ),
        ),
        (
            replace(FAILED, scheduled_at=NOW - MINUTE, error=None),
            '"charge" failed in attempt 2 of 5; attempt 3 starts now.',
        ),
        (
            node("x", State.SCHEDULED, scheduled_at=NOW + timedelta(days=2)),
            '"x" starts at 2026-11-24 12:00:00 UTC, in 2 d 0 h.',
        ),
        (
            node("x", State.SCHEDULED, scheduled_at=NOW + MINUTE, attempted_at=NOW),
            '"x" was put off and starts at 12:01:00 UTC, in 1 min 0 s.',
        ),
        (
            node("x", State.AVAILABLE, queue="gpu"),
            '"x" could start, but no worker runs queue "gpu".',
        ),
        (
            node("x", State.AVAILABLE),
            '"x" waits for a slot of queue "default".',
        ),
        (
            node("x", State.AVAILABLE, ahead=0),
            '"x" is the next to start in queue "default".',
        ),
        (
            node("x", State.AVAILABLE, queue="llm", ahead=0),
            '"x" is the next to start in queue "llm", whose 4 slots are taken.',
        ),
        (
            node("x", State.AVAILABLE, queue="llm", ahead=1),
            '"x" waits for a slot behind 1 job of queue "llm", whose 4 slots are taken.',
        ),
        (
            node("x", State.AVAILABLE, ahead=1200),
            '"x" waits for a slot behind 1,200 jobs of queue "default".',
        ),
        (
            DISCARDED,
            '"charge" was discarded at 2026-11-21 12:00:00 UTC in attempt 5 of 5: RuntimeError: no route.',
        ),
        (
            node("x", State.CANCELLED, settled_at=NOW, attempt=1, error="Cancel: the bank refuses the card"),
            '"x" was cancelled at 12:00:00 UTC: Cancel: the bank refuses the card.',
        ),
        (
            node("x", State.CANCELLED, settled_at=NOW, error="BTN507: cancelled, since its workflow was"),
            '"x" was cancelled with its workflow at 12:00:00 UTC.',
        ),
        (
            node("x", State.GONE, settled_at=NOW, outcome=Outcome.CANCELLED),
            '"x" was cancelled at 12:00:00 UTC; its job, which would tell why, is gone.',
        ),
        (
            node("x", State.GONE, settled_at=NOW, outcome=Outcome.DISCARDED),
            '"x" was discarded at 12:00:00 UTC.',
        ),
        (
            node("x", State.GONE),
            '"x" can\'t run, because its job is gone: see baton doctor.',
        ),
        (
            node("x", State.COMPLETED, outcome=None),
            '"x" has not settled, though its job is completed: see baton doctor.',
        ),
        (
            node("x"),
            '"x" waits, though nothing keeps it from running: see baton doctor.',
        ),
    ],
)
def test_a_step_that_waits_for_no_other_is_told_by_itself(facts: NodeFacts, said: str) -> None:
    assert why(workflow(facts), facts.step) == said


def test_a_step_that_waits_is_told_with_the_chain_down_to_its_cause() -> None:
    facts = workflow(FAILED, node("orders", State.SUSPENDED, "charge"), node("report", State.SUSPENDED, "orders"))
    cause = "failed in attempt 2 of 5 (RuntimeError: no route); attempt 3 starts at 12:04:00 UTC, in 4 min 0 s"
    assert why(facts, "orders") == f'"orders" waits for "charge", which {cause}.'
    assert why(facts, "report") == f'"report" waits for "orders", which waits for "charge", which {cause}.'
    assert causes(facts, "report") == ["charge"]


def test_of_several_causes_the_one_that_needs_somebody_is_told_first() -> None:
    facts = workflow(
        node("runs", State.EXECUTING, attempted_at=NOW, attempt=1),
        node("stuck", State.AVAILABLE, queue="gpu"),
        FAILED,
        node("done", State.COMPLETED),
        node("last", State.SUSPENDED, "runs", "charge", "stuck", "done"),
    )
    said = '"last" waits for "stuck", which could start, but no worker runs queue "gpu"; it also waits for '
    assert why(facts, "last") == said + '"charge" and "runs".'


def test_a_long_chain_is_told_by_its_ends() -> None:
    names = [f"n{number}" for number in range(9)]
    chain = [node(below, State.SUSPENDED, above) for above, below in itertools.pairwise(names)]
    facts = workflow(node("n0", State.AVAILABLE), *chain)
    said = '"n8" waits for "n7", which, through 6 others, waits for "n0", which waits for a slot of queue "default".'
    assert why(facts, "n8") == said


def test_what_a_cancelled_step_was_cancelled_for_is_told_to_the_origin() -> None:
    facts = workflow(
        DISCARDED,
        node("pack", State.CANCELLED, "charge", by_upstream=True),
        node("ship", State.CANCELLED, "pack", by_upstream=True),
    )
    origin = "was discarded at 2026-11-21 12:00:00 UTC in attempt 5 of 5: RuntimeError: no route."
    assert why(facts, "ship") == (
        f'"ship" was cancelled because of "pack", which was cancelled because of "charge", which {origin}'
    )


def test_an_upstream_whose_end_is_ignored_is_no_cause() -> None:
    ignored = node("other", State.CANCELLED, settled_at=NOW)
    facts = workflow(ignored, DISCARDED, node("x", State.CANCELLED, "other", "charge", by_upstream=True))
    facts = replace(facts, nodes={**facts.nodes, "x": replace(facts.nodes["x"], ignore_cancelled=True)})
    assert why(facts, "x").startswith('"x" was cancelled because of "charge"')


def test_a_pause_is_told() -> None:
    facts = workflow(
        node("a", State.EXECUTING, attempted_at=NOW, attempt=1),
        node("b", State.SUSPENDED, "a"),
        node("c"),
        paused_at=NOW - MINUTE,
    )
    assert why(facts, "c") == '"c" does not start, because the workflow has been paused since 11:59:00 UTC.'
    runs = "has run since 12:00:00 UTC, attempt 1 of 20"
    assert why(facts, "b") == f'"b" waits for "a", which {runs}; also, the workflow has been paused since 11:59:00 UTC.'
    assert why(facts) == f'The workflow has been paused since 11:59:00 UTC: 3 of 3 steps have not settled; "a" {runs}.'


def test_a_queue_that_is_paused_is_told() -> None:
    step = node("x", State.AVAILABLE)
    paused = {"default": QueueFacts(nodes=2, paused=2)}
    assert why(workflow(step, queues=paused), "x") == '"x" could start, but queue "default" is paused on all nodes.'
    paused = {"default": QueueFacts(nodes=1, paused=1)}
    assert why(workflow(step, queues=paused)) == (
        '1 of 1 step has not settled: "x" could start, but queue "default" is paused on the only node that runs it.'
    )
    half = {"default": QueueFacts(nodes=2, paused=1)}
    assert why(workflow(step, queues=half), "x") == '"x" waits for a slot of queue "default".'


def test_a_workflow_that_runs_is_told_by_what_it_waits_for() -> None:
    facts = workflow(*(node(f"n{number}", State.AVAILABLE) for number in range(5)), node("x", State.SUSPENDED, "n1"))
    slot = 'waits for a slot of queue "default"'
    assert why(facts) == (f'6 of 6 steps have not settled: "n0" {slot}; "n1" {slot}; "n2" {slot}; and 2 others.')


def test_what_runs_after_its_workflow_was_cancelled_is_told() -> None:
    runs = node("x", State.EXECUTING, attempted_at=NOW, attempt=1)
    facts = workflow(runs, node("y", State.CANCELLED), stopped_at=NOW)
    assert why(facts) == (
        'The workflow was cancelled at 12:00:00 UTC: 1 of 2 steps has not settled; "x" has run since 12:00:00 UTC, '
        "attempt 1 of 20, and will not be retried, because the workflow was cancelled."
    )


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            workflow(node("x", State.COMPLETED), outcome=Outcome.COMPLETED, settled_at=NOW + timedelta(seconds=2.5)),
            "The workflow completed at 12:00:02 UTC, after 1 min 2 s.",
        ),
        (
            workflow(
                DISCARDED,
                node("y", State.CANCELLED, "charge", by_upstream=True),
                outcome=Outcome.DISCARDED,
                settled_at=NOW,
            ),
            (
                'The workflow was discarded at 12:00:00 UTC: "charge" was discarded at 2026-11-21 12:00:00 UTC in '
                "attempt 5 of 5: RuntimeError: no route; that cancelled 1 downstream step."
            ),
        ),
        (
            workflow(
                *(node(f"n{i}", State.CANCELLED, error="BTN507: cancelled, since its workflow was") for i in range(3)),
                outcome=Outcome.CANCELLED,
                settled_at=NOW,
            ),
            "The workflow was cancelled at 12:00:00 UTC: 3 steps had not run when somebody cancelled it.",
        ),
        (
            workflow(*(node(f"n{i}", State.DISCARDED) for i in range(5)), outcome=Outcome.DISCARDED, settled_at=NOW),
            (
                'The workflow was discarded at 12:00:00 UTC: "n0" was discarded; "n1" was discarded; "n2" was discarded'
                "; and 2 others."
            ),
        ),
    ],
)
def test_a_workflow_that_has_ended_is_told_by_what_ended_it(facts: WorkflowFacts, said: str) -> None:
    assert why(facts) == said


def test_a_map_waits_for_its_items_and_an_item_for_its_turn() -> None:
    facts = workflow(
        node("regions", State.COMPLETED),
        node("orders", State.SUSPENDED, "regions", has_expanded=True),
        node("orders[0]", State.COMPLETED, part_of="orders"),
        node("orders[1]", State.AVAILABLE, part_of="orders", queue="gpu"),
        node("orders[2]", part_of="orders", is_held=True),
        node("report", State.SUSPENDED, "orders"),
    )
    waits = 'waits until other items of "orders" end, because max_concurrency limits how many run at once'
    unserved = 'could start, but no worker runs queue "gpu"'
    assert why(facts, "orders[2]") == f'"orders[2]" {waits}.'
    assert why(facts, "report") == (
        f'"report" waits for "orders", which waits for "orders[1]", which {unserved}; it also waits for "orders[2]".'
    )
    assert why(facts) == f'2 of 3 steps have not settled: "orders[1]" {unserved}; "orders[2]" {waits}.'


def test_an_item_that_runs_is_told_before_those_that_wait_for_it() -> None:
    facts = workflow(
        node("orders", State.SUSPENDED, has_expanded=True),
        node("orders[0]", State.EXECUTING, part_of="orders", attempt=1),
        *(node(f"orders[{number}]", part_of="orders", is_held=True) for number in range(1, 5)),
    )
    assert why(facts, "orders").startswith('"orders" waits for "orders[0]", which has run, attempt 1 of 20; it also')
    assert why(facts).startswith('1 of 1 step has not settled: "orders[0]" has run')


def test_a_map_that_was_discarded_is_told_with_the_item() -> None:
    facts = workflow(
        node("orders", State.SUSPENDED, outcome="discarded", has_expanded=True),
        replace(DISCARDED, step="orders[1]", part_of="orders"),
        node("report", State.CANCELLED, "orders", by_upstream=True),
        outcome="discarded",
        settled_at=NOW,
    )
    item = '"orders[1]", which was discarded at 2026-11-21 12:00:00 UTC in attempt 5 of 5: RuntimeError: no route'
    assert why(facts, "report") == (
        f'"report" was cancelled because of "orders", which was discarded because of {item}.'
    )
    assert why(facts) == (
        f'The workflow was discarded at 12:00:00 UTC: "orders" was discarded because of {item}; '
        "that cancelled 1 downstream step."
    )


def test_a_skipped_step_is_told_with_the_reason() -> None:
    skipped = node("audit", State.COMPLETED, outcome="skipped", settled_at=NOW, error="nothing to audit")
    facts = workflow(skipped, node("mail", State.COMPLETED, "audit", outcome="skipped", by_upstream=True))
    assert why(facts, "audit") == '"audit" was skipped at 12:00:00 UTC: nothing to audit.'
    assert why(facts, "mail") == (
        '"mail" was skipped because of "audit", which was skipped at 12:00:00 UTC: nothing to audit.'
    )
