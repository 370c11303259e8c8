"""Operating from the command line: what is printed, what is left in the database, and the exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from baton_dsl import Flow, Workflow
from baton_dsl.cli import selection
from baton_dsl.runtime.schema import VERSION
from tests.cli import flows
from tests.cli.conftest import Shown
from tests.cli.test_on_a_database import BATON, ROOT, environment, read, wait_until_ready, worker
from tests.conftest import until


def insert(conn: psycopg.Connection[Any], workflow_id: str, flow: Flow[..., Any] = flows.shop, **inputs: Any) -> None:
    flow.options(workflow_id=workflow_id).insert(conn, **({"region": "eu"} if flow is flows.shop else inputs))


def end(conn: psycopg.Connection[Any], workflow_id: str, state: str) -> None:
    """Make the first step end in this way."""
    conn.execute(
        "UPDATE oban_jobs SET state = %s::oban_job_state WHERE state = 'available' AND meta ->> 'workflow_id' = %s",
        [state, workflow_id],
    )


def counts(dsn: str, workflow_id: str) -> dict[str, int]:
    return dict(Workflow.load(workflow_id, dsn=dsn).sync.status().counts)


def without_ages(text: str) -> list[str]:
    return [re.sub(r"  \d[\d.]* m?s$", "  AGE", line) for line in text.splitlines()]


def test_list_shows_how_far_each_has_come(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    assert baton("list") == (0, "", "There are no workflows.\n")
    insert(conn, "a-1")
    insert(conn, "a-2")
    end(conn, "a-2", "discarded")
    insert(conn, "b-1", flows.waiting.options(workflow_name="of mine"))
    baton("pause", "b-1")
    code, shown, _ = baton("list")
    assert code == 0
    assert without_ages(shown) == [
        "ID   FLOW     LABEL    STANDING   STEPS                AGE",
        "b-1  waiting  of mine  paused     0 of 1               AGE",
        "a-2  shop     shop     discarded  4 of 4, 1 discarded  AGE",
        "a-1  shop     shop     stuck      0 of 4               AGE",
    ]
    assert without_ages(baton("list", "--flow", "shop", "--running")[1]) == [
        "ID   FLOW  STANDING  STEPS   AGE",
        "a-1  shop  stuck     0 of 4  AGE",
    ]
    assert baton("list", "--older-than", "1h") == (0, "", "No workflow matches.\n")


def test_colours_are_for_terminals_that_want_them(dsn: str, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    assert "\x1b[" in on_a_terminal("list", "--dsn", dsn)
    assert "\x1b[" not in on_a_terminal("list", "--dsn", dsn, NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("status", "shop-1", "--dsn", dsn, NO_COLOR="1")


def on_a_terminal(*arguments: str, **variables: str) -> str:
    terminal, their_end = pty.openpty()
    variables = environment(**{"TERM": "xterm-256color", **variables})
    process = subprocess.Popen([*BATON, *arguments], cwd=ROOT, env=variables, stdout=their_end)
    os.close(their_end)
    shown = b""
    while chunk := read(terminal):
        shown += chunk
    os.close(terminal)
    assert process.wait() == 0
    return shown.decode()


def test_list_as_json_and_no_more_than_asked_for(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    for number in range(3):
        insert(conn, f"a-{number}")
    code, shown, told = baton("list", "--json", "--newer-than", "1h", "-n", "2")
    assert [workflow["id"] for workflow in json.loads(shown)] == ["a-2", "a-1"]
    assert json.loads(shown)[0] | {"inserted_at": ""} == {
        "id": "a-2",
        "name": "shop",
        "flow": "shop",
        "short_id": "a-2",
        "standing": "stuck",
        "steps": 4,
        "unsettled": 4,
        "cancelled": 0,
        "discarded": 0,
        "inserted_at": "",
        "settled_at": None,
        "is_paused": False,
    }
    assert (code, told) == (0, "There are more than these 2; list them with --most.\n")


def test_the_status_of_a_workflow_that_starts_nothing_says_so(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    assert re.match(
        r"shop  shop-1\nstuck, under way for [\d.]+ m?s: 3 suspended, 1 available\n", baton("status", "shop-1")[1]
    )
    baton("pause", "shop-1")
    assert re.match(r"shop  shop-1\npaused, under way for [\d.]+ m?s: 4 suspended\n", baton("status", "shop-1")[1])
    assert json.loads(baton("status", "shop-1", "--json")[1])["workflow"]["paused_at"] is not None
    conn.execute("UPDATE oban_jobs SET state = 'executing', attempt = 1 WHERE id = (SELECT min(id) FROM oban_jobs)")
    baton("cancel", "shop-1")
    assert "\ncancelled, but still under way for " in baton("status", "shop-1")[1]


def test_who_wants_a_waiting_step_now_is_told_how(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    end(conn, "shop-1", "retryable")
    assert baton("retry", "shop-1") == (
        0,
        "",
        (
            "workflow shop-1 is stuck: there is nothing to retry\n"
            "  help: to start a step at once that waits for its next attempt, use --from STEP\n"
        ),
    )
    assert baton("retry", "shop-1", "--from", "fetch") == (0, "retried workflow shop-1\n", "")
    assert counts_of(conn) == {"available": 1, "suspended": 3}


def counts_of(conn: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(conn.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY state").fetchall())


def test_a_retry_from_a_step_that_still_can_not_run_says_why(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    end(conn, "shop-1", "discarded")
    code, _, told = baton("retry", "shop-1", "--from", "report")
    assert code == 0
    assert '"report" was cancelled because of' in told
    assert '"fetch", which was discarded' in told
    assert "  help: without --from, every failed step runs again, its upstreams too\n" in told


def test_one_workflow_is_operated_on_by_the_beginning_of_its_id(
    baton: Shown, conn: psycopg.Connection[Any], dsn: str
) -> None:
    insert(conn, "shop-1")
    insert(conn, "shop-12")
    insert(conn, "other")
    assert baton("cancel", "o") == (0, "cancelled workflow other\n", "")
    assert baton("cancel", "shop-1") == (0, "cancelled workflow shop-1\n", ""), "a whole id is no beginning"
    assert counts(dsn, "shop-12") == {"available": 1, "suspended": 3}
    code, _, told = baton("pause", "sh")
    assert (code, told) == (
        4,
        (
            'Error: BTN407: the ids of several workflows begin with "sh", such as "shop-1", "shop-12"\n'
            "  help: write more of the id\n"
        ),
    )
    code, _, told = baton("pause", "x")
    assert (code, told.splitlines()[0]) == (4, 'Error: BTN407: there is no workflow "x"')
    assert baton("cancel", "shop-1") == (0, "", "workflow shop-1 is cancelled: there is nothing to cancel\n")
    assert baton("retry", "shop-1") == (0, "retried workflow shop-1\n", "")
    assert baton("pause", "shop-1", "shop-12") == (0, "paused 2 workflows\n", "")
    assert baton("resume", "shop-12") == (0, "resumed workflow shop-12\n", "")
    assert counts(dsn, "shop-1") == {"suspended": 4}


@pytest.mark.parametrize("command", ["cancel", "pause", "why", "status"])
def test_a_blank_id_means_no_workflow_not_even_the_only_one(
    baton: Shown, conn: psycopg.Connection[Any], dsn: str, command: str
) -> None:
    """A blank id, as from a script variable that is not set."""
    insert(conn, "shop-1")
    code, shown, told = baton(command, "")
    assert (code, shown, told.splitlines()[0]) == (4, "", "Error: BTN407: the id of a workflow is blank")
    assert counts(dsn, "shop-1") == {"available": 1, "suspended": 3}


def test_ids_that_do_not_meet_the_conditions_are_told(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    told = "No matching workflow to cancel.\n"
    assert baton("cancel", "shop-1", "--outcome", "completed", "--yes") == (0, "", told)


def test_who_has_closed_standard_input_is_not_asked(conn: psycopg.Connection[Any], dsn: str) -> None:
    insert(conn, "waiting-1", flows.waiting)
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *BATON, "cancel", "--flow", "waiting", "--dsn", dsn]
    process = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == "Error: to cancel 1 workflow without a question, add --yes"


def test_a_user_who_may_not_is_told(
    baton: Shown, conn: psycopg.Connection[Any], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"reader_{os.getpid()}"
    conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        monkeypatch.setenv("BATON_DSN", make_conninfo(dsn, user=role, password="secret"))
        code, _, told = baton("list")
    finally:
        conn.execute(f"DROP ROLE {role}")
    message = "permission denied for table baton_workflows"
    assert (code, told) == (4, f"Error: the database does not let its user do that: {message}\n")


def test_many_workflows_are_operated_on_after_a_word(baton: Shown, conn: psycopg.Connection[Any], dsn: str) -> None:
    for number in range(3):
        insert(conn, f"shop-{number}")
    insert(conn, "other", flows.waiting)
    code, _, told = baton("cancel")
    assert code == 2
    assert "name the workflows, by their ids or with options such as --flow and --outcome" in told
    code, shown, told = baton("cancel", "--flow", "shop", "--dry-run")
    assert (code, len(shown.splitlines()), told) == (0, 4, "Without --dry-run, it would cancel 3 workflows.\n")
    code, _, told = baton("cancel", "--flow", "shop")
    assert (code, told.splitlines()[-1]) == (2, "Error: to cancel 3 workflows without a question, add --yes")
    assert baton("list", "--outcome", "cancelled")[1] == ""
    assert baton("cancel", "--flow", "shop", "--yes") == (0, "cancelled 3 workflows\n", "")
    assert baton("cancel", "--flow", "shop", "--yes") == (0, "", "No matching workflow to cancel.\n")
    assert counts(dsn, "other") == {"available": 1}
    assert baton("retry", "--outcome", "cancelled", "-y") == (0, "retried 3 workflows\n", "")


@pytest.mark.parametrize(("answer", "left"), [("y\n", {"cancelled": 1}), ("n\n", {"available": 1})])
def test_whoever_sits_at_a_terminal_is_asked(
    conn: psycopg.Connection[Any], dsn: str, answer: str, left: dict[str, int]
) -> None:
    insert(conn, "waiting-1", flows.waiting)
    terminal, their_end = pty.openpty()
    command = [*BATON, "cancel", "--flow", "waiting", "--dsn", dsn]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=their_end, stderr=subprocess.PIPE, text=True)
    os.close(their_end)
    os.write(terminal, answer.encode())
    assert process.stderr is not None
    assert "Cancel 1 workflow? [y/N]" in process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    os.close(terminal)
    assert counts(dsn, "waiting-1") == left


def test_a_workflow_is_retried_from_a_step(baton: Shown, conn: psycopg.Connection[Any], dsn: str) -> None:
    insert(conn, "shop-1")
    for state in ("available", "available", "available"):
        conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE state = %s", [state])
    assert counts(dsn, "shop-1") == {"completed": 4}
    assert baton("retry", "shop-1") == (0, "", "workflow shop-1 is completed: there is nothing to retry\n")
    assert baton("retry", "shop-1", "--from", "count") == (0, "retried workflow shop-1\n", "")
    assert counts(dsn, "shop-1") == {"completed": 2, "available": 1, "suspended": 1}
    code, _, told = baton("retry", "shop-1", "--from", "cuont")
    assert (code, told) == (
        4,
        'Error: BTN408: workflow "shop-1" has no step "cuont"\n  help: did you mean "count"?\n',
    )
    insert(conn, "other", flows.waiting)
    assert baton("retry", "shop-1", "other", "--from", "count") == (
        0,
        "retried workflow shop-1\n",
        "left 1 workflow alone: a step is running, has no job any more, or does not exist\n",
    )


def test_a_retry_chooses_another_model(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1", flows.shop.options(models={"fetch": "openai:a"}), region="eu")
    end(conn, "shop-1", "discarded")
    assert baton("retry", "shop-1", "--model", "fetch")[:2] == (2, "")
    assert baton("retry", "shop-1", "--model", "fetch=a", "--model", "fetch=b")[0] == 2
    code, _, told = baton("retry", "shop-1", "--model", "fetsh=openai:b")
    assert (code, told) == (
        4,
        'Error: BTN408: workflow "shop-1" has no step "fetsh"\n  help: did you mean "fetch"?\n',
    )
    assert baton("retry", "shop-1", "--model", "fetch=openai:b") == (0, "retried workflow shop-1\n", "")
    assert conn.execute("SELECT args ->> 'workflow_model' FROM oban_jobs WHERE state = 'available'").fetchall() == [
        ("openai:b",)
    ]


def test_why_says_it_in_a_sentence(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    first = '"fetch", which could start, but no worker runs queue "default".\n'
    assert baton("why", "sho", "report") == (0, f'"report" waits for "count", which waits for {first}', "")
    assert baton("why", "sho")[1].startswith("4 of 4 steps have not settled: ")
    code, _, told = baton("why", "sho", "reprot")
    assert (code, told.splitlines()[0]) == (4, 'Error: BTN408: workflow "shop-1" has no step "reprot"')


def test_workflows_run_once_more(baton: Shown, conn: psycopg.Connection[Any], dsn: str) -> None:
    insert(conn, "shop-1")
    insert(conn, "shop-2")
    insert(conn, "other", flows.waiting)
    code, shown, _ = baton("rerun", "shop-1", "tests.cli.flows:shop")
    assert code == 0
    (new,) = re.fullmatch(r"workflow ([0-9a-f-]{36}), a rerun of shop-1\n", shown).groups()
    assert counts(dsn, new) == {"available": 1, "suspended": 3}
    assert len(baton("rerun", "tests.cli.flows:shop", "--running", "--yes")[1].splitlines()) == 3
    code, _, told = baton("rerun", "other", "tests.cli.flows:shop")
    assert (code, told.splitlines()[0]) == (4, 'Error: BTN416: workflow "other" is of flow "waiting", not "shop"')


def test_stored_inputs_that_do_not_fit_any_more_are_told(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    conn.execute("""UPDATE baton_workflows SET inputs = '{"region": "eu", "since": "soon"}'""")
    code, _, told = baton("rerun", "shop-1", "tests.cli.flows:shop")
    assert code == 2
    assert 'BTN303: input "since" must be date, got str\n' in told
    assert told.splitlines()[-1] == 'the inputs are those that workflow "shop-1" has stored'


def test_prune_removes_what_ended_long_ago(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    for number in range(3):
        insert(conn, f"shop-{number}")
    baton("cancel", "shop-0", "shop-1")
    conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '8 days' WHERE workflow_id = 'shop-0'")
    assert baton("prune", "--older-than", "1w", "--dry-run")[2] == "Without --dry-run, it would prune 1 workflow.\n"
    code, _, told = baton("prune", "--older-than", "7d")
    assert (code, told.splitlines()[-1]) == (2, "Error: to prune 1 workflow without a question, add --yes")
    assert baton("prune", "--older-than", "7d", "--yes") == (0, "pruned 1 workflow\n", "")
    assert baton("prune", "--older-than", "7d") == (0, "pruned 0 workflows\n", "")
    assert {workflow["id"] for workflow in json.loads(baton("list", "--json")[1])} == {"shop-1", "shop-2"}


@pytest.mark.parametrize("age", ["30", "d", "30 d", "-1d", "1e999d", "9999999999w", "400000w"])
def test_an_age_that_is_none_is_told(baton: Shown, age: str) -> None:
    code, _, told = baton("prune", f"--older-than={age}")
    assert code == 2
    assert "write a number and a unit" in told or "too long" in told


async def test_a_worker_removes_what_ended_long_ago(conn: psycopg.Connection[Any], dsn: str) -> None:
    insert(conn, "shop-0")
    Workflow.load("shop-0", dsn=dsn).sync.cancel()
    conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '8 days'")
    left = "SELECT (SELECT count(*) FROM workflow_nodes), (SELECT count(*) FROM baton_workflows)"
    with worker("--dsn", dsn, "--retain", "7d", "--processes", "2") as process:
        wait_until_ready(process, 2)
        try:
            await until(lambda: conn.execute(left).fetchone() == (0, 0))
        finally:
            process.terminate()  # so that its nodes end with it
            process.wait(timeout=60)


def test_retry_says_how_many_attempts_it_gives(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    for name, attempt in (("shop-1", 20), ("shop-2", 5)):
        insert(conn, name)
        conn.execute(
            "UPDATE oban_jobs SET attempt = %s WHERE state = 'available' AND meta ->> 'workflow_id' = %s",
            [attempt, name],
        )
        end(conn, name, "discarded")
    assert baton("retry", "shop-1") == (
        0,
        "retried workflow shop-1\n",
        "1 step that was attempted before gets 1 attempt\n",
    )
    end(conn, "shop-1", "discarded")
    code, _, told = baton("retry", "shop-1", "shop-2")
    assert (code, told) == (0, "2 steps that were attempted before get 1 to 15 attempts each\n")
    end(conn, "shop-1", "discarded")
    end(conn, "shop-2", "discarded")
    code, _, told = baton("retry", "shop-1", "shop-2", "--attempts", "3")
    assert (code, told) == (0, "2 steps that were attempted before get 3 attempts each\n")
    query = "SELECT array_agg(max_attempts ORDER BY id) FROM oban_jobs WHERE attempt > 0"
    assert conn.execute(query).fetchone() == ([23, 8],)
    code, _, told = baton("retry", "shop-1", "--from", "fetch", "--attempts", "1")
    assert (code, told) == (0, "1 step that was attempted before gets 1 attempt\n")
    assert conn.execute(query).fetchone() == ([21, 8],)
    code, _, told = baton("retry", "shop-1", "--attempts", "0")
    assert code == 2
    assert "0 is not in the range 1<=x<=32767" in told


def test_the_doctor_says_what_to_do_and_its_exit_code_tells(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    code, shown, _ = baton("doctor")
    about, *measured, end = shown.splitlines()
    assert (code, end) == (0, "Nothing is wrong.")
    assert about.endswith(f'schema "public" of version {VERSION}, 0 workflows under way')
    assert re.fullmatch(r"  tables: \d[\d.]* [kM]B, of which \w+ \S+ kB, \w+ \S+ kB, \w+ \S+ kB", measured[0])
    assert measured[1:] == [
        "  baton prune: no workflow ended more than 1 day ago",
        "  oldest ready job: none",
        "  connection: direct",
    ]
    insert(conn, "waiting-1", flows.waiting)
    conn.execute("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '3 hours'")
    code, shown, _ = baton("doctor")
    assert re.fullmatch(r'  oldest ready job: "never-served" 3 h \d min', shown.splitlines()[3])
    assert (code, shown.splitlines()[5:]) == (
        1,
        [
            'wrong: 1 job could start in queue "never-served", which no worker runs',
            "  help: start one: baton worker MODULE --queues never-served",
        ],
    )
    report = json.loads(baton("doctor", "--json")[1])
    assert [finding["is_wrong"] for finding in report["findings"]] == [True]
    baton("cancel", "waiting-1")
    conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '8 days'")
    code, shown, _ = baton("doctor", "--retain", "7d")
    assert re.fullmatch(
        r"  baton prune: --older-than 7d would free about \d+\.\d kB \(1 workflow\)", shown.splitlines()[2]
    )
    assert (code, shown.splitlines()[5:7]) == (
        0,
        [
            "advice: 1 workflow ended more than 7 days ago, and is kept with all results",
            "  help: remove them: baton prune --older-than 7d, or baton worker --retain 7d",
        ],
    )
    report = json.loads(baton("doctor", "--json", "--retain", "90s")[1])
    assert "baton prune --older-than 90s" in report["findings"][0]["help"]
    assert [(each["older_than"], each["workflows"]) for each in report["prunable"]] == [
        ("P30D", 0),
        ("P7D", 1),
        ("P1D", 1),
        ("PT1M30S", 1),
    ]
    assert report["connection"] == "direct"
    assert {"oban_jobs", "workflow_nodes"} <= {table["name"] for table in report["tables"]}


def test_the_doctor_reports_steps_that_the_code_here_does_not_have(baton: Shown, conn: psycopg.Connection[Any]) -> None:
    insert(conn, "shop-1")
    insert(conn, "shop-2")
    conn.execute("UPDATE workflow_nodes SET worker = replace(worker, 'flows:', 'gone:') WHERE step_name = 'mail'")
    assert "BTN501" not in baton("doctor")[1]
    assert "BTN501" not in baton("doctor", "baton_dsl")[1], "another package's code is not expected here"
    code, shown, _ = baton("doctor", "tests.cli.flows")
    told = next(line for line in shown.splitlines() if "BTN501" in line)
    assert told.startswith('wrong: 2 running workflows need a step of flow "shop" that the code here does not have: ')
    assert "No module named 'tests.cli.gone'" in told
    assert code == 1
    conn.execute("UPDATE workflow_nodes SET outcome = 'cancelled' WHERE worker LIKE '%gone:%'")
    assert "BTN501" not in baton("doctor", "tests.cli.flows")[1], "nothing waits for it any more"
    code, _, told = baton("doctor", "tests.cli.flow")
    assert code == 2
    assert 'there is no module "tests.cli.flow"' in told


@pytest.mark.parametrize("command", [["list"], ["cancel", "x"], ["why", "x"], ["prune", "--older-than", "1d"]])
def test_a_database_without_tables_asks_for_install(
    baton: Shown, empty_dsn: str, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("BATON_DSN", empty_dsn)
    code, _, told = baton(*command)
    assert (code, told.splitlines()[0]) == (4, 'Error: BTN404: baton-dsl is not installed in the schema "public"')


def test_the_doctor_finds_a_database_without_tables(
    baton: Shown, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_DSN", empty_dsn)
    code, shown, _ = baton("doctor")
    assert code == 1
    assert "  help: run: baton install --dsn ..." in shown.splitlines()


def test_many_are_counted_in_words() -> None:
    assert [selection.counted(number) for number in (0, 1, 1200)] == ["0 workflows", "1 workflow", "1,200 workflows"]
