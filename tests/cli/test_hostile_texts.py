"""Stored texts are data: no character in them moves a cursor or hides anything, on a terminal or in a log."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oban import Job

from baton_dsl import Flow, Workflow, step
from baton_dsl.cli import terminal
from baton_dsl.cli.main import run
from baton_dsl.core.wording import printable, printable_lines
from baton_dsl.errors import FlowError, InputError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime.observing.step_log import _log
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from tests.cli import flows

HOSTILE = "\x1b]0;owned\x07 \x1b[2J\x1b[31mred\x1b[8m \u202eturned\u2066 \x9b31m \x9d0;x\x9c \r\x08 \x7f"
"""A title, a cleared screen, colours, turned writing, the same in C1, what overwrites, and a delete."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CLI = Path(terminal.__file__).parent

type Shown = Callable[..., str]


def what_a_terminal_obeys(shown: str) -> set[str]:
    return {it for it in shown if not it.isprintable() and it != "\n"}


@pytest.fixture(params=[False, True], ids=["pipe", "colours"])
def shown(
    request: pytest.FixtureRequest, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shown:
    """Run a command and give all that it printed, once without colours and once with them."""
    monkeypatch.setenv("BATON_DSN", dsn)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if request.param:
        monkeypatch.setattr(click.utils, "should_strip_ansi", lambda *_: False)

    def show(*arguments: str) -> str:
        run(arguments)
        captured = capsys.readouterr()
        return captured.out + captured.err

    return show


def seen(text: str) -> str:
    """The output without our own colours; the stored text must not contain any of them."""
    assert "\x1b[31mred" not in text
    assert "\x1b[8m" not in text
    return COLOURS.sub("", text)


@pytest.fixture
def hostile(conn: psycopg.Connection[Any]) -> str:
    """A workflow with this text in every column that holds user text; returns the beginning of its id."""
    flows.shop.options(workflow_id="shop").insert(conn, region="eu")
    conn.execute(
        "UPDATE oban_jobs SET state = 'discarded', errors = %s::jsonb WHERE state = 'available'",
        [json.dumps([{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": f"ValueError: {HOSTILE}"}])],
    )
    conn.execute("SET session_replication_role = replica")
    conn.execute(
        "UPDATE oban_jobs SET worker = worker || %(it)s, queue = queue || %(it)s, tags = ARRAY[%(it)s], "
        "meta = meta || jsonb_build_object('workflow_id', 'shop' || %(it)s)",
        {"it": HOSTILE},
    )
    conn.execute(
        "UPDATE workflow_nodes SET workflow_id = workflow_id || %(it)s, step_name = step_name || %(it)s, "
        "worker = worker || %(it)s",
        {"it": HOSTILE},
    )
    conn.execute(
        "UPDATE baton_workflows SET workflow_id = workflow_id || %(it)s, workflow_label = %(it)s, "
        "flow_name = flow_name || %(it)s",
        {"it": HOSTILE},
    )
    conn.execute("SET session_replication_role = origin")
    return "shop"


COMMANDS = [
    ("status", "shop"),
    ("status", "shop", "--json"),
    ("why", "shop"),
    ("why", "shop", f"count{HOSTILE}"),
    ("why", "shop", f"no such step{HOSTILE}"),
    ("list",),
    ("list", "--json"),
    ("list", "--flow", HOSTILE),
    ("doctor",),
    ("doctor", "--json"),
    ("check-deploy", "tests.cli.flows"),
    ("cancel", "shop", "--dry-run"),
    ("pause", "shop"),
    ("resume", "shop"),
    ("cancel", "shop"),
    ("cancel", "shop"),
    ("retry", "shop", "--from", f"mail{HOSTILE}"),
    ("retry", "shop"),
    ("rerun", "tests.cli.flows:shop", "shop"),
    ("prune", "--older-than", "0s", "--yes"),
    ("status", HOSTILE),
    ("status", "\udcff"),
    ("cancel", "\udcff"),
    ("list", "--flow", "\udcff"),
    ("retry", "shop", "--from", "\udcff"),
    ("why", "shop", "\udcff"),
    (HOSTILE,),
    ("run", f"tests.cli.flows:{HOSTILE}"),
    ("run", "tests.cli.flows:shop", "--input", HOSTILE),
    ("run", "tests.cli.flows:shop", "--input", f"{'region'}={HOSTILE}", "--no-worker", "--timeout", "0.1"),
]


def test_no_command_lets_a_stored_text_reach_the_terminal(shown: Shown, hostile: str) -> None:
    for command in COMMANDS:
        text = seen(shown(*command))
        assert command != ("status", "shop") or "ValueError: \\x1b]0;owned\\x07" in text, text
        assert not what_a_terminal_obeys(text), (command, text)
        assert "Traceback (most recent call last)" not in text or "status" in command, (command, text)


def test_only_one_module_prints() -> None:
    """Whatever a command says goes through `terminal.echo`, which escapes it."""
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                prints = (node.value.id, node.attr) in (("click", "echo"), ("click", "secho"))
                assert not prints or path.name == "terminal.py", f"{path.name}:{node.lineno}: print with terminal.echo"


@given(st.text())
def test_what_is_printable_stays_and_all_else_is_escaped(text: str) -> None:
    told = printable_lines(text)
    assert not what_a_terminal_obeys(told)
    assert told.count("\n") == text.count("\n")
    assert all(it in told for it in text if it.isprintable())
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.none() | st.text(st.characters(exclude_categories=("Cs",))), st.lists))
def test_json_on_a_terminal_means_what_it_meant(value: Any) -> None:
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click, "echo", lambda text, err=False: told.write(text))
        terminal.echo_json(value)
    assert not what_a_terminal_obeys(told.getvalue())
    assert json.loads(told.getvalue()) == value


@given(st.text(), st.text())
def test_no_sign_of_a_record_reaches_the_log(message: str, error: str) -> None:
    try:
        raise ValueError(error)
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", 30, "x", 1, "%s", (message,), sys.exc_info())
    assert not what_a_terminal_obeys(terminal.Formatter("%(message)s").format(record))


def test_a_failed_attempt_is_one_line_of_the_log_whatever_its_names_say(caplog: pytest.LogCaptureFixture) -> None:
    job = Job(worker="a.B", meta={"workflow_name": "a\nERROR forged", "workflow_id": HOSTILE})

    _log(
        "oban.job.exception",
        {
            "job": job,
            "traceback": f"ValueError: {HOSTILE}",
            "state": "retryable",
            "error_message": "",
            "duration": 1,
            "queue_time": 1,
        },
    )
    (record,) = caplog.records
    assert not what_a_terminal_obeys(record.getMessage())
    assert "\n" not in record.getMessage()


# --- what no database can hold ---------------------------------------------------------------------------------------

UNSTORABLE = ["a\0b", "a\ud800b", "\udcff"]


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
def test_an_id_that_no_workflow_can_have_is_told_in_a_sentence(text: str, dsn: str) -> None:
    with pytest.raises(
        WorkflowNotFoundError, match=r"no workflow has the id .* it (has a NUL character|is no Unicode)"
    ):
        Workflow.load(text, dsn=dsn)
    for condition in ({"flow": text}, {"label": text}):
        with pytest.raises(WorkflowNotFoundError):
            WorkflowFilter(**condition)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
def test_a_step_that_no_workflow_can_have_is_told_in_a_sentence(
    text: str, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    flows.shop.options(workflow_id="shop").insert(conn, region="eu")
    workflow = Workflow.load("shop", dsn=dsn).sync
    for ask in (workflow.result, workflow.items, workflow.why, workflow.retry):
        with pytest.raises(StepNotInWorkflowError, match="no step has the name"):
            ask(text)  # type: ignore[operator]


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
def test_what_can_not_be_stored_is_refused_at_insert(text: str, conn: psycopg.Connection[Any]) -> None:
    def charge() -> int:
        return 1

    for wrong in (
        lambda: step(tags=[text])(charge),
        lambda: step(queue=text)(charge),
        lambda: step(name=text)(charge),
        lambda: flows.shop.options(models={"*": text}),
        lambda: flows.shop.options(workflow_id=text),
        lambda: flows.shop.options(workflow_name=text),
        lambda: flows.shop.insert(conn, region=text),
        lambda: Flow("jobs").add("job", Job(worker="a.B", args={"text": text})).insert(conn),
        lambda: Flow("jobs").add("job", Job(worker="a.B", meta={text: 1})).insert(conn),
        lambda: Flow("jobs").add("job", Job(worker="a.B", tags=[text])).insert(conn),
        lambda: Flow("jobs").add("job", Job(worker=f"a.{text}")).insert(conn),
        lambda: Flow("jobs").add("job", Job(worker="a.B", queue=text)).insert(conn),
    ):
        with pytest.raises((FlowError, InputError)):
            wrong()
    assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
