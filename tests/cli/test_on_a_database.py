"""The commands as processes, on a database: what they print, what they leave, and their exit codes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from baton_dsl.runtime.workflow import Workflow
from tests.cli.conftest import Done

ROOT = Path(__file__).parents[2]
SHOP = "tests.cli.flows:shop"
BATON = (sys.executable, "-m", "baton_dsl.cli")


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("BATON_", "OBAN_", "NO_COLOR"))}
    return plain | {"PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)} | more


def baton(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BATON, *arguments], cwd=cwd, env=environment(**more), capture_output=True, text=True, check=False, timeout=120
    )


@contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*BATON, "worker", "tests.cli.flows", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str], nodes: int = 1) -> None:
    assert process.stderr is not None
    while nodes:
        line = process.stderr.readline()
        assert line, "the worker ended"
        nodes -= "node runs" in line


def test_run_follows_a_workflow_and_prints_its_results(dsn: str) -> None:
    done = baton(
        "run", SHOP, "--dsn", dsn, "--worker", "-i", "region=eu", "-i", "since=2026-11-22", "-i", "factors=[2, 3]"
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"report": {"total": 5 * len("eu since November")}})
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"workflow [0-9a-f-]{36}", lines[0])
    assert re.fullmatch(r"completed in [\d.]+ (ms|s)", lines[-1])
    settled = [line.split()[1] for line in lines if line.startswith("completed  ")]
    assert settled[0] == "fetch"
    assert settled[-1] == "report"
    assert set(settled) == {"fetch", "count", "mail", "report"}


def test_run_prints_every_result_when_asked(dsn: str) -> None:
    done = baton("run", SHOP, "--worker", "--every", "-i", "region=eu", OBAN_DSN=dsn)
    assert json.loads(done.stdout) == {
        "fetch": "eu since January",
        "count": 16,
        "mail": None,
        "report": {"total": 16},
    }


def test_a_discarded_step_is_told_with_its_reason_and_by_the_exit_code(dsn: str) -> None:
    done = baton("run", SHOP, "--worker", "-i", "region=eu", "-i", "fail=true", BATON_DSN=dsn)
    assert (done.returncode, json.loads(done.stdout)) == (1, {})
    assert "discarded  mail  RuntimeError: no route\n" in done.stderr
    assert re.search(r"^cancelled  report  ", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_a_wrong_input_is_told_and_writes_nothing(dsn: str, in_this_process: Done) -> None:
    done = in_this_process("run", SHOP, "-i", "regoin=eu", BATON_DSN=dsn)
    assert done.returncode == 2
    assert 'BTN303: the flow has no input called "regoin"; did you mean "region"?' in done.stderr
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


def test_a_workflow_that_takes_too_long_is_left_with_a_code_of_its_own(dsn: str) -> None:
    done = baton("run", "tests.cli.flows:waiting", "--timeout", "0.2", BATON_DSN=dsn)
    assert done.returncode == 3
    workflow_id = done.stderr.split()[1]
    assert f"The workflow stays in the database. See what it is waiting for: baton why {workflow_id}" in done.stderr
    assert "BTN412" in done.stderr
    assert Workflow.load(workflow_id, dsn=dsn).sync.status().outcome is None


def test_a_database_without_tables_asks_for_install(empty_dsn: str, in_this_process: Done) -> None:
    done = in_this_process("run", SHOP, "-i", "region=eu", BATON_DSN=empty_dsn)
    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        'Error: BTN404: baton-dsl is not installed in the schema "public"',
        "  help: run: baton install --dsn ...; or, if they are in another schema, name it: --prefix, OBAN_PREFIX",
    ]


def test_install_may_be_run_again_and_takes_a_prefix(empty_dsn: str, in_this_process: Done) -> None:
    for _ in range(2):
        done = in_this_process("install", "--dsn", empty_dsn, "--prefix", "jobs")
        assert (done.returncode, done.stdout) == (0, "The schema 'jobs' of the database is up to date.\n")
    done = baton("run", SHOP, "--worker", "-i", "region=eu", BATON_DSN=empty_dsn, OBAN_PREFIX="jobs")
    assert done.returncode == 0
    workflow_id = done.stderr.split()[1]
    done = in_this_process("status", workflow_id, "--dsn", empty_dsn, "--prefix", "jobs", "--watch")
    assert done.returncode == 0


def test_a_prefix_that_oban_can_not_use_is_told(empty_dsn: str, in_this_process: Done) -> None:
    done = in_this_process("install", "--dsn", empty_dsn, "--prefix", "Not-This")
    assert done.returncode == 4
    assert done.stderr.startswith("Error: BTN410: ")


def test_status_draws_the_graph_with_states_and_reasons(dsn: str, in_this_process: Done) -> None:
    run = baton("run", SHOP, "--worker", "-i", "region=eu", "-i", "fail=true", BATON_DSN=dsn)
    workflow_id = run.stderr.split()[1]
    done = in_this_process("status", workflow_id, BATON_DSN=dsn)
    assert done.returncode == 0
    told = re.sub(r"[\d.]+ (ms|s)\b", "TIME", done.stdout).splitlines()
    assert told[:-1] == [
        f"shop  {workflow_id}",
        "discarded, took TIME: 2 completed, 1 cancelled, 1 discarded",
        "",
        "✔    fetch   TIME",
        "├─✔  count   TIME",
        "✘ │  mail    RuntimeError: no route",
    ]
    assert told[-1].startswith("⊘─╯  report  BTN507")


def test_status_tells_everything_as_json(dsn: str, in_this_process: Done) -> None:
    run = baton("run", SHOP, "--worker", "-i", "region=eu", BATON_DSN=dsn)
    told: dict[str, Any] = json.loads(in_this_process("status", run.stderr.split()[1], "--json", BATON_DSN=dsn).stdout)
    assert told["workflow"]["outcome"] == "completed"
    assert [node["step"] for node in told["nodes"]] == ["fetch", "count", "mail", "report"]
    assert told["nodes"][3]["deps"] == ["count", "mail"]


def test_the_status_of_no_workflow_is_told(dsn: str, in_this_process: Done) -> None:
    done = in_this_process("status", "nope", BATON_DSN=dsn)
    assert done.returncode == 4
    assert done.stderr.startswith('Error: BTN407: there is no workflow "nope"\n')


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_runs_steps_until_it_is_told_to_stop(dsn: str, processes: int, end: signal.Signals) -> None:
    with worker("--dsn", dsn, "--queues", "default:4,mail", "--processes", str(processes)) as process:
        wait_until_ready(process, processes)
        done = baton("run", SHOP, "-i", "region=eu", "--timeout", "60", BATON_DSN=dsn)
        assert done.returncode == 0, done.stderr
        process.send_signal(end)
        assert process.wait(timeout=60) == 0


def test_a_worker_logs_what_failed_and_its_traceback_once_no_attempt_is_left(dsn: str) -> None:
    with worker("--dsn", dsn) as process:
        wait_until_ready(process)
        done = baton("run", SHOP, "-i", "region=eu", "-i", "fail=true", "--timeout", "60", BATON_DSN=dsn)
        workflow_id = done.stderr.split()[1]
        process.terminate()
        logged = process.communicate(timeout=60)[1]
    line = f'step "mail" of workflow {workflow_id} failed in attempt 1 of 1: RuntimeError: no route\n'
    assert f"ERROR   baton_dsl.steps: {line}Traceback (most recent call last):\n" in logged
    assert 'raise RuntimeError("no route\\nto the post office")\n' in logged


def test_when_one_of_several_processes_dies_the_others_stop_and_it_is_told(dsn: str) -> None:
    with worker("--dsn", dsn, "--processes", "2") as process:
        wait_until_ready(process, 2)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        logged = process.communicate(timeout=60)[1]
        assert process.returncode == 4
    assert f"process {children[0]} was killed by SIGKILL; the other processes stop\n" in logged


def test_a_worker_logs_json_with_the_step_of_each_line(dsn: str) -> None:
    with worker("--dsn", dsn, "--log-format", "json") as process:
        wait_until_ready(process)
        done = baton("run", SHOP, "-i", "region=eu", "--timeout", "60", BATON_DSN=dsn)
        assert done.returncode == 0, done.stderr
        process.terminate()
        logged = process.communicate(timeout=60)[1]
    lines = [json.loads(line) for line in logged.splitlines()]
    ends = {line["step"]: line for line in lines if line.get("outcome") == "completed"}
    assert set(ends) == {"fetch", "count", "mail", "report"}
    assert {line["workflow_id"] for line in ends.values()} == {done.stderr.split()[1]}


def test_a_worker_that_starts_paused_runs_nothing_until_its_queues_are_resumed(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    with worker("--dsn", dsn, "--paused") as process:
        wait_until_ready(process)
        assert conn.execute("SELECT bool_and((meta ->> 'paused')::boolean) FROM oban_producers").fetchone() == (True,)
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_a_terminal_shows_the_graph_and_a_pipe_gets_the_results(dsn: str) -> None:
    terminal, their_end = pty.openpty()
    command = [*BATON, "run", SHOP, "--worker", "-i", "region=eu", "--dsn", dsn]
    colours = environment(TERM="xterm-256color", COLUMNS="80")
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=colours,
        stdout=subprocess.PIPE,
        stderr=their_end,
    )
    os.close(their_end)
    shown = b""
    while chunk := read(terminal):
        shown += chunk
    assert process.stdout is not None
    assert json.loads(process.stdout.read()) == {"report": {"total": 16}}
    assert process.wait() == 0
    process.stdout.close()
    os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r", "")
    assert re.search(r"✔    fetch +\d+ ms", plain)
    assert re.search(r"├─✔  count +\d+ ms", plain)
    assert re.search(r"✔─╯  report +\d+ ms", plain)


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""


def test_a_command_that_is_terminated_stops_the_embedded_server(served_folder: Path) -> None:
    command = [*BATON, "run", "tests.cli.flows:waiting", "--no-worker"]
    process = subprocess.Popen(command, cwd=served_folder, env=environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("workflow ")
    assert list(served_folder.glob(".baton/postgres/postmaster.pid"))
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(served_folder.glob(".baton/postgres/postmaster.pid"))


def test_the_demo_needs_nothing_and_leaves_a_page(served_folder: Path) -> None:
    done = baton("demo", "--imports", "1", cwd=served_folder)
    assert done.returncode == 0, done.stderr
    page = served_folder / ".baton" / "package-audit.html"
    *_, told, looked = done.stdout.splitlines()
    assert told == f"The report as an HTML page: {page}"
    assert re.fullmatch(r"See what it ran in a browser: \S+ web", looked)
    assert "Largest on disk" in done.stdout
    assert "completed  report  " in done.stderr
    assert page.read_text().startswith("<!doctype html>")
    assert (served_folder / ".baton" / ".gitignore").read_text() == "*\n"


def test_a_map_is_one_line_with_the_counts_of_its_items(dsn: str, in_this_process: Done) -> None:
    flow = "tests.integration.modules.mapped:failing"
    done = baton("run", flow, "--worker", "-i", "count=4", "-i", "bad=[1]", BATON_DSN=dsn)
    assert done.returncode == 1
    assert re.search(r"^discarded  fragile  3/4 completed, 1 discarded, \d+ ms$", done.stderr, re.MULTILINE)
    assert "fragile[" not in done.stderr
    workflow_id = done.stderr.split()[1]
    told = in_this_process("status", workflow_id, BATON_DSN=dsn).stdout
    assert re.search(r"^.*✘.*  fragile +3/4 completed, 1 discarded, \d+ ms$", told, re.MULTILINE)
    assert "fragile[" not in told
    nodes = {
        it["step"]: it
        for it in json.loads(in_this_process("status", workflow_id, "--json", BATON_DSN=dsn).stdout)["nodes"]
    }
    assert nodes["fragile"]["items"] == {"completed": 3, "discarded": 1}
    why = in_this_process("why", workflow_id, "fragile[1]", BATON_DSN=dsn).stdout
    assert re.match(r'"fragile\[1\]" was discarded .* ValueError: 1 is bad\.$', why)
    assert in_this_process("doctor", BATON_DSN=dsn).returncode == 0


def test_a_step_that_was_skipped_says_why_and_a_map_over_nothing_that_it_has_no_items(dsn: str) -> None:
    done = baton("run", "tests.integration.modules.mapped:branching", "--worker", "-i", "given=3", BATON_DSN=dsn)
    assert done.returncode == 0
    assert "skipped    large  not large" in done.stderr.splitlines()
    done = baton("run", "tests.integration.modules.mapped:summing", "--worker", "-i", "count=0", BATON_DSN=dsn)
    assert "completed  squares  no items" in done.stderr.splitlines()
