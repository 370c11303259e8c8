"""The commands about calls of models: usage, debug, approve, cost, and prune --captures."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg

from tests.cli import model_flows
from tests.cli.conftest import Shown

FLOWS = "tests.cli.model_flows"

CALL = {
    "step": "draft",
    "node": "draft",
    "workflow_id": "brief-1",
    "input": 1200,
    "cached": 200,
    "cache_write": 0,
    "output": 80,
    "reasoning": 0,
    "latency": 1.5,
}
CALLS = [(1, {"model": "gpt-4o-mini", "cost": "0.25"}), (2, {"model": "\x1b[31mred", "cost": None})]


def record(conn: psycopg.Connection[Any]) -> None:
    """A workflow with two calls, one of them without a price, and an exchange."""
    model_flows.brief.options(workflow_id="brief-1", budget=3, debug=True).insert(conn, topic="bees")
    row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = 'draft'").fetchone()
    assert row is not None
    conn.execute(
        "SELECT baton_record_usage(%s::json)",
        [json.dumps([{**CALL, "id": str(UUID(int=at)), "job": row[0], "attempt": at, **it} for at, it in CALLS])],
    )
    conn.execute(
        "INSERT INTO baton_captures VALUES (gen_random_uuid(), 'brief-1', 'draft', 'draft', %s, 1, 1, "
        """'gpt-4o-mini', '{"prompt": "say \\u001b[31m hi"}', '"hi"', 'ValueError: no', now() - interval '8 days')""",
        [row[0]],
    )


def test_usage_tells_what_calls_have_used(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    assert baton("usage")[2] == "No calls of models are recorded.\n"
    record(conn)
    code, shown, _ = baton("usage", "brief-1")
    assert code == 0
    assert shown.splitlines() == [
        "STEP   CALLS  INPUT  CACHED  OUTPUT   TIME   COST",
        "draft      2  2,400     400     160  3.0 s  0.25+",
    ]
    assert "\\x1b[31mred" in baton("usage", "--by", "model")[1]
    for by, name in (("flow", "brief"), ("label", "brief")):
        (found,) = json.loads(baton("usage", "--by", by, "--json")[1])
        assert (found[by], found["cost"], found["lower_bound"], found["calls"]) == (name, "0.25", True, 2)
    assert len(json.loads(baton("usage", "--by", "day", "--newer-than", "1h", "--json")[1])) == 1
    assert baton("usage", "none")[0] == 4


def test_show_tells_what_calls_have_used(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    record(conn)
    for step in ([], ["draft"]):
        (line,) = [line for line in baton("show", "brief-1", *step)[1].splitlines() if "usage" in line]
        assert line.split(None, 1) == ["usage", "2 calls of models, 2,400 tokens in, 160 out, at least 0.25"]
        found = json.loads(baton("show", "brief-1", *step, "--json")[1])["usage"]
        assert (found["cost"], found["lower_bound"], found["calls"]) == ("0.25", True, 2)


def test_debug_shows_an_exchange_and_moves_no_cursor(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    record(conn)
    code, shown, _ = baton("debug", "brief-1", "draft")
    assert code == 0
    head, *lines = shown.splitlines()
    assert head.startswith("draft: attempt 1, exchange 1, gpt-4o-mini, ")
    assert "\x1b" not in shown
    assert lines[-2:] == ["  error:", "    ValueError: no"]
    assert json.loads(baton("debug", "brief-1", "draft", "--json")[1])[0]["response"] == "hi"
    assert "Nothing was captured" in baton("debug", "brief-1", "draft", "--attempt", "2")[2]
    assert "did you mean" in baton("debug", "brief-1", "draf")[2]


def test_captures_are_pruned_by_themselves(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    record(conn)
    assert "1 captures" in baton("prune", "--captures", "--older-than", "7d", "--dry-run")[2]
    assert baton("prune", "--captures", "--older-than", "9d") == (0, "pruned 0 captures\n", "")
    assert baton("prune", "--captures", "--older-than", "7d") == (0, "pruned 1 captures\n", "")
    assert baton("status", "brief-1")[0] == 0


def test_approve_sets_a_budget_and_refuses_one_below_what_is_spent(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    record(conn)
    assert baton("approve", "brief-1", "--budget", "8") == (
        0,
        "workflow brief-1 may cost 8.00; 0.25 is spent\n",
        "",
    )
    code, _, told = baton("approve", "brief-1", "--budget", "0.10")
    assert code == 4
    assert 'BTN524: workflow "brief-1" has spent 0.25, more than a budget of 0.10' in told
    assert baton("approve", "brief-1", "--budget=-1")[0] == 2
    assert baton("approve", "brief-1", "--budget", "much")[0] == 2


def test_cost_tells_a_bound_without_running_anything(baton: Shown) -> None:
    code, shown, _ = baton("cost", f"{FLOWS}:brief")
    assert code == 0
    assert shown.splitlines() == [
        "STEP   COST  ATTEMPTS  ITEMS  AT MOST",
        "draft  0.50         2      1     1.00",
        "check  0.75         1      3     2.25",
        "total                            3.25",
    ]
    assert baton("cost", f"{FLOWS}:brief", "--max", "3.25")[0] == 0
    assert baton("cost", f"{FLOWS}:brief", "--max", "3.24")[0] == 1
    code, shown, told = baton("cost", f"{FLOWS}:unknown", "--max", "100")
    assert code == 1
    assert shown.splitlines()[-1].endswith("1.00+")
    assert 'no price is known for the model "unheard-of"' in told
