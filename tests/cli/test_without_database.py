"""The command line before it needs a database."""

import importlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton_dsl.cli import inputs, picture, queue_limits
from baton_dsl.cli.main import COMMANDS, run
from baton_dsl.core.wording import duration
from baton_dsl.runtime.workflow import NodeStatus
from tests.cli import flows

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_help_lists_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = importlib.import_module(f"baton_dsl.cli.{name.replace('-', '_')}").command.name
    assert named == name, f'name the command as COMMANDS does: @click.command("{name}")'
    assert run([name, "--help"]) == 0
    assert f"baton {name}" in capsys.readouterr().out


def test_help_and_version_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(summary in " ".join(shown.split()) for summary in COMMANDS.values())
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("baton, version ")


def test_a_flow_is_drawn_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "tests.cli.flows:shop"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "●    fetch",
        "├─●  count",
        "● │  mail",
        "●─╯  report",
    ]


def test_a_flow_is_drawn_without_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "tests.cli.flows:shop", "--format", "ascii"]) == 0
    assert capsys.readouterr().out.splitlines() == ["*    fetch", "+-*  count", "* |  mail", "*-'  report"]


@pytest.mark.parametrize(("form", "first"), [("mermaid", "flowchart TD"), ("dot", 'digraph "shop" {')])
def test_a_flow_is_drawn_for_other_tools(form: str, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "tests.cli.flows:shop", "--format", form]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


def test_a_wrong_flow_is_drawn_and_what_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "tests.cli.flows:farm", "--format", "dot"]) == 2
    told = capsys.readouterr()
    assert "s0 -> s1;" in told.out
    assert "BTN101: " in told.err
    assert "Traceback" not in told.err


def test_drawing_loads_no_driver_and_no_database_code() -> None:
    program = (
        "import sys; from baton_dsl.cli.main import run; code = run(['graph', 'tests.cli.flows:shop']); "
        "loaded = {'psycopg', 'psycopg_pool', 'sqlalchemy', 'oban', 'baton_dsl.runtime', 'rich'} & sys.modules.keys(); "
        "sys.exit(f'loaded {loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tests.cli.flows:shp", 'tests.cli.flows has no flow called "shp"; did you mean "shop"?'),
        (
            "tests.cli.flows:report",
            '"report" of tests.cli.flows is a step, not a flow; its flows are "shop", "waiting"',
        ),
        ("tests.cli.flows:date", '"date" of tests.cli.flows is of type type, not a flow'),
        ("tests.cli.flows", "name a flow of tests.cli.flows, as in tests.cli.flows:shop; it holds"),
        ("tests.cli.flaws:shop", 'there is no module "tests.cli.flaws", neither installed nor in '),
        ("tests/cli/flows.py:shop", '"tests/cli/flows.py" is a file, not a module name; write tests.cli.flows'),
        ("app/flows.py:shop", '"app/flows.py" is no module name; write app.flows, not app/flows.py'),
        ("testz:shop", 'there is no module "testz", neither installed nor in '),
        ("tests.cli.broken", "broken.py:1: LookupError: no settings"),
        ("tests.cli.incomplete", "incomplete.py:1: ModuleNotFoundError: No module named 'no_such_driver'"),
        ("", '"" is no module name'),
    ],
)
def test_a_flow_that_is_not_there_is_told_in_a_sentence(
    target: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["graph", target]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_module_of_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bakery.py").write_text(
        "from baton_dsl import Flow, step\n@step\ndef knead() -> int: return 1\nbread = Flow('bread', knead)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert run(["graph", "bakery"]) == 0
    assert capsys.readouterr().out == "●  knead\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["wrk"], 'there is no command "wrk"; did you mean "worker"?'),
        (["graph"], "Missing argument 'MODULE:FLOW'."),
        (
            ["worker", "tests.cli.flows", "-q", "default:0"],
            "write NAME:LIMIT with a limit of 1 or more, got 'default:0'",
        ),
        (["worker", "tests.cli.flows", "-q", "a:1,a:2"], 'the queue "a" is named twice'),
        (["worker", "tests.cli.flows", "-p", "0"], "0 is not in the range x>=1."),
        (["run", "tests.cli.flows:shop", "-i", "region"], "write NAME=VALUE, got 'region'"),
        (["run", "tests.cli.flows:shop", "-i", "region=a", "-i", "region=b"], '"region" is given twice'),
        (["status", "x", "--dsn", "nonsense"], "the connection string can't be read"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_database_that_is_not_there_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "x", "--dsn", "postgresql://nobody@127.0.0.1:1/x"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("Error: the database can't be reached: ")
    assert told.count("\n") == 1


@given(st.text())
def test_an_input_that_is_a_text_takes_the_characters_as_they_are(text: str) -> None:
    assert inputs.read(flows.shop, [f"region={text}"]) == {"region": text}


@given(st.lists(st.integers()))
def test_any_other_input_takes_json(numbers: list[int]) -> None:
    assert inputs.read(flows.shop, [f"factors={json.dumps(numbers)}"]) == {"factors": numbers}


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        ("12", str, "12"),
        ("12", int, 12),
        ("12", str | None, "12"),
        ("null", str | None, None),
        ("null", str, "null"),
        ("true", bool, True),
        ("2026-11-22", date, date(2026, 11, 22)),
        ('"2026-11-22"', date, date(2026, 11, 22)),
        ("0198c0de-0000-7000-8000-000000000000", UUID, UUID("0198c0de-0000-7000-8000-000000000000")),
        ('{"a": [1]}', dict[str, list[int]], {"a": [1]}),
        ("not json", list[int], "not json"),
        ('["not", "numbers"]', list[int], ["not", "numbers"]),
        ("12", Any, 12),
        ("twelve", Any, "twelve"),
    ],
)
def test_an_input_is_read_by_its_type(text: str, expected: object, value: object) -> None:
    assert inputs.value_of(text, expected) == value


@pytest.mark.parametrize(
    ("text", "expected", "digits"),
    [
        ("1.10", Decimal, "1.10"),
        ("0.1000000000000000055511151231257827", Decimal | None, "0.1000000000000000055511151231257827"),
        ("100000000000000000000000000000.1", Annotated[Decimal, "EUR"], "100000000000000000000000000000.1"),
    ],
)
def test_a_decimal_keeps_its_digits(text: str, expected: object, digits: str) -> None:
    assert str(inputs.value_of(text, expected)) == digits
    assert list(map(str, inputs.value_of(f"[{text}, {text}]", list[expected]))) == [digits, digits]  # type: ignore[valid-type]


def test_what_is_no_decimal_stays_what_it_is_beside_one() -> None:
    found = inputs.value_of('{"a": 1.10, "b": "x"}', dict[str, Decimal | str])
    assert {name: (type(value), str(value)) for name, value in found.items()} == {
        "a": (Decimal, "1.10"),
        "b": (str, "x"),
    }
    assert inputs.value_of("[1.50, 2]", list[Any]) == [1.5, 2]


def test_all_wrong_inputs_are_told_at_once_with_what_their_texts_look_like(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = {
        "since": "tomorrow",
        "colour": "blue",
        "size": "xl",
        "count": "12",
        "name": "Ada\x1b[2J",
        "order": '{"amount": 0, "token": "s3cr3t"}',
        "factors": "[1, 2",
        "rset": "true",
    }
    flow = "tests.cli.typed_inputs:typed"
    assert run(["test", flow, *(f"--input={name}={text}" for name, text in pairs.items())]) == 2
    told = capsys.readouterr().err
    for sentence in (
        'input "since" must be date, got the text "tomorrow": ',
        "write an ISO date, as 2026-11-22",
        'input "colour" must be Colour, got the text "blue": ',
        "write one of red, green",
        'got the text "xl": ',
        "write one of s, m",
        'input "count" must be int, got the text "12": Input should be less than or equal to 9',
        "write a whole number, as 12 (at most 9)",
        "write a text (matching ^[a-z]+$)",
        'input "order" must be Order, got a text that does not fit: amount: Input should be greater than or equal to 1',
        'write a JSON object: {"amount": a whole number, as 12 (at least 1), "token": a text, "note" (optional): a',
        "this is no JSON: Expecting ',' delimiter at character 6",
        "write a JSON list: [a number, as 1.5, ...]",
        'the flow has no input called "rset"; did you mean "rest"?',
        'input "rest" is missing; step "take" needs it',
        "pass it: --input rest=... (true or false)",
    ):
        assert sentence in told, sentence
    assert "s3cr3t" not in told
    assert "\x1b" not in told
    good = {
        "since": "2026-11-22",
        "colour": "red",
        "size": "s",
        "count": "9",
        "name": "ada",
        "order": '{"amount": 1, "token": "x"}',
        "factors": "[1]",
        "rest": "true",
    }
    assert run(["test", flow, *(f"--input={name}={text}" for name, text in good.items())]) == 0
    assert "2026-11-22 Colour.RED s 9 ada 1 [1.0] True" in capsys.readouterr().out


def test_an_input_that_the_flow_does_not_have_is_left_to_the_insert() -> None:
    assert inputs.read(flows.shop, ["regoin=eu", "n=1"]) == {"regoin": "eu", "n": 1}


def limits(text: str) -> dict[str, int] | None:
    context = click.Context(click.Command("worker"))
    return queue_limits.limits(context, click.Option(["--queues"]), text)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_-]*", fullmatch=True), st.integers(1, 1000), min_size=1))
def test_queues_are_read_as_they_are_written(served: dict[str, int]) -> None:
    assert limits(", ".join(f"{name}:{limit}" for name, limit in served.items())) == served


def test_a_queue_without_a_limit_gets_the_usual_one() -> None:
    assert limits("default,mail:2") == {"default": 10, "mail": 2}


def test_a_worker_serves_every_queue_that_its_modules_name() -> None:
    assert queue_limits.of_module(flows) == {"default", "mail", "never-served"}
    assert queue_limits.of_flow(flows.shop) == {"default", "mail"}


def node(state: str, **facts: object) -> NodeStatus:
    given_facts: dict[str, object] = {
        "step": "charge",
        "deps": (),
        "attempt": 1,
        "max_attempts": 5,
        "queue": "default",
        "worker": "w",
        "error": None,
        "attempted_at": NOON - timedelta(seconds=2.5),
        "scheduled_at": NOON - timedelta(seconds=3),
        "settled_at": None,
    }
    return NodeStatus(state=state, **(given_facts | facts))  # type: ignore[arg-type]


TRACEBACK = """\
Traceback (most recent call last):
  File "app/flows.py", line 3, in charge
    raise CardError("declined\\nby the bank")
app.errors.CardError: declined
by the bank
"""


@pytest.mark.parametrize(
    ("found", "remark"),
    [
        (node("completed", settled_at=NOON), "2.5 s"),
        (node("completed", settled_at=NOON, attempt=3), "2.5 s, attempt 3 of 5"),
        (node("completed", attempted_at=None, settled_at=NOON), ""),
        (node("executing"), "2.5 s"),
        (
            node("retryable", error=TRACEBACK, scheduled_at=NOON + timedelta(seconds=90)),
            "attempt 1 of 5; app.errors.CardError: declined; due in 1 min 30 s",
        ),
        (node("scheduled", scheduled_at=NOON + timedelta(hours=2)), "due in 2 h 0 min"),
        (node("discarded", error=TRACEBACK), "app.errors.CardError: declined"),
        (node("discarded", error="ValueError: bad"), "ValueError: bad"),
        (node("cancelled"), ""),
        (node("suspended"), ""),
        (node("available"), ""),
    ],
)
def test_a_node_has_a_remark(found: NodeStatus, remark: str) -> None:
    assert picture.remark_on(found, NOON) == remark


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (-1, "0 ms"),
        (0.0804, "80 ms"),
        (0.999, "1.0 s"),
        (2.51, "2.5 s"),
        (59.97, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7300, "2 h 1 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
