"""What commands show of workflows, queues and processes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.cli import flows
from tests.cli.conftest import Shown
from tests.conftest import StartOban

TIMEOUT = 60
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
async def failed(start_oban: StartOban) -> str:
    """A workflow of which one step has failed."""
    async with start_oban(queues={"default": 5, "mail": 5}):
        workflow = await flows.shop.options(workflow_id="shop-1").insert(region="eu", fail=True)
        await workflow.wait(TIMEOUT)
    return workflow.id


def test_show_tells_everything_about_a_workflow(failed: str, baton: Shown) -> None:
    code, shown, told = baton("show", failed, "--utc")
    assert (code, told) == (0, "")
    shown = re.sub(r"[\d.]+ (ms|s)\b", "TIME", re.sub(f"{MOMENT} UTC", "MOMENT", shown))
    assert shown.splitlines()[:12] == [
        "shop  shop-1",
        "discarded, took TIME: 2 completed, 1 cancelled, 1 discarded",
        "  inserted  MOMENT",
        "  settled   MOMENT",
        "",
        "inputs",
        '  region  "eu"',
        "  fail    true",
        "",
        "steps",
        "  ✔ fetch   completed, TIME",
        '      "eu since January"',
    ]
    assert "RuntimeError: no route" in shown
    assert shown.endswith("  help: its attempts with their tracebacks: baton show shop-1 mail\n")


def test_show_tells_each_attempt_of_a_step_without_the_frames_of_the_framework(failed: str, baton: Shown) -> None:
    code, shown, _ = baton("show", failed, "mail", "--utc")
    assert code == 0
    assert "mail  discarded, attempt 1 of 1\n" in shown
    assert '\ninputs\n  fail  true\n\ntakes\n  fetch  "eu since January"\n' in shown
    assert re.search(
        rf"\nattempts\n  1  discarded, began {MOMENT} UTC, ended {MOMENT} UTC, took [\d.]+ m?s, on \S+\n", shown
    )
    assert "frames of baton-dsl and Oban ..." in shown
    assert 'raise RuntimeError("no route\\nto the post office")' in shown
    assert "_executor.py" not in shown
    assert "_executor.py" in baton("show", failed, "mail", "--full")[1]


def test_show_and_why_as_json(failed: str, baton: Shown) -> None:
    whole = json.loads(baton("show", failed, "--json")[1])
    assert whole["inputs"] == {"region": "eu", "fail": True}
    assert whole["results"] == {"fetch": "eu since January", "count": 16}
    assert whole["standing"] == "discarded"
    node = json.loads(baton("show", failed, "fetch", "--json")[1])
    assert (node["result"], node["inputs"]) == ("eu since January", {"region": "eu"})
    assert node["attempts"][0]["state"] == "completed"
    node = json.loads(baton("show", failed, "mail", "--json")[1])
    assert node["takes"] == [{"step": "fetch", "outcome": "completed", "result": "eu since January", "size": 18}]
    assert "no route\nto the post office" in node["attempts"][0]["error"]
    why = json.loads(baton("why", failed, "mail", "--json")[1])
    assert (why["workflow_id"], why["step"]) == ("shop-1", "mail")
    assert why["why"].startswith('"mail" was discarded')


def test_show_tells_of_what_is_not_there(failed: str, baton: Shown) -> None:
    code, shown, told = baton("show", failed, "mial")
    assert (code, shown) == (4, "")
    assert told == 'Error: BTN408: workflow "shop-1" has no step "mial"\n  help: did you mean "mail"?\n'
    assert baton("show", "nowhere")[0] == 4


def test_show_outlives_the_jobs_and_cuts_what_is_long(failed: str, baton: Shown, conn: psycopg.Connection[Any]) -> None:
    conn.execute("DELETE FROM oban_jobs")
    conn.execute("UPDATE workflow_nodes SET result = to_json(repeat('\u001b', 100000)) WHERE step_name = 'fetch'")
    shown = baton("show", failed, "fetch")[1]
    assert "which Oban has pruned\n" in shown
    assert "Its inputs were pruned with its job" in shown
    assert "\n  ... 600,002 bytes in all; see them with --full or --json\n" in shown
    assert "\x1b" not in shown
    assert len(baton("show", failed, "fetch", "--full")[1]) > 600_000


async def test_queues_and_nodes_are_listed_and_a_queue_is_paused_and_resumed(
    start_oban: StartOban, baton: Shown, conn: psycopg.Connection[Any]
) -> None:
    async def run(*arguments: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(baton, *arguments)

    assert await run("queues") == (0, "", "There is no queue: no node runs, and no job waits.\n")
    assert (await run("nodes"))[2] == "No worker runs; start one: baton worker MODULE\n"
    code, _, told = await run("queue", "pause", "mail")
    assert (code, told) == (4, 'Error: no node runs queue "mail"\n')
    flows.waiting.insert(conn)
    conn.execute("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '3 hours 5 minutes'")
    async with start_oban(queues={"default": 5, "mail": 2}, node="one"):
        shown = (await run("queues"))[1]
        assert [line.split() for line in shown.splitlines()] == [
            ["QUEUE", "READY", "OLDEST", "RUNNING", "RETRYING", "SCHEDULED", "SLOTS", "NODES"],
            ["default", "0", "0", "0", "0", "5", "1"],
            ["mail", "0", "0", "0", "0", "2", "1"],
            ["never-served", "1", "3", "h", "5", "min", "0", "0", "0", "0", "none"],
        ]
        assert json.loads((await run("queues", "--json"))[1])[0]["name"] == "default"
        assert await run("queue", "pause", "mail") == (0, 'paused queue "mail" on 1 node\n', "")
        mail = (await run("queues"))[1].splitlines()[2]
        assert mail.split() == ["mail", "0", "0", "0", "0", "2", "1,", "paused"]
        node = (await run("nodes"))[1].splitlines()[1]
        assert re.fullmatch(r"one   runs   \d.*  default 0/5, mail 0/2 paused", node)
        assert await run("queue", "resume", "mail", "--node", "one") == (0, 'resumed queue "mail" on 1 node\n', "")
        assert json.loads((await run("nodes", "--json"))[1])[0]["queues"][1]["is_paused"] is False
        assert (await run("queue", "pause", "maul"))[2] == 'Error: no node runs queue "maul"; did you mean "mail"?\n'
        assert (await run("queue", "pause", "mail", "--node", "two"))[0] == 4


def test_a_list_fits_in_80_columns(
    baton: Shown, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for number in range(3):
        long = Flow(f"the flow with the rather long name {number}", flows.stuck)
        long.options(workflow_name=f"a label that is much longer still, {number}").insert(conn)
    shown = baton("list")[1]
    assert max(map(len, shown.splitlines())) <= 80
    ids = [line.split()[0] for line in shown.splitlines()[1:]]
    for short in ids:
        assert baton("why", short)[0] == 0
        assert baton("show", short)[0] == 0
    assert shown.count("…") == 6
    assert baton("list", "--stuck")[1].count(" stuck ") == 3
    assert baton("list", "--not-stuck")[1] == ""
    assert " UTC\n" in baton("list", "--utc")[1]
