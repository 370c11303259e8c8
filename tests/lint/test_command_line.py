"""The output for users: findings in five formats, exit statuses, selection, suppression, configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from baton_dsl.core.rules import CATALOGUE
from tests.lint.support import Outcome, lint, run, write

FLOWS = """\
from baton_dsl import Flow, step

@step
def orders(total: int) -> list[int]:
    return [total]

@step
def total(orders: list[int]) -> int:
    return sum(orders)

@step
def report(order: list[int]) -> int:
    return len(order)

shop = Flow("shop", orders, total, report)
"""
CYCLE = 'flows.py:4:12: BTN101: steps wait for each other: "orders" -> "total" -> "orders"'
MISSING = 'flows.py:12:12: BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, {"pyproject.toml": "[project]\nname = 'shop'\n", "flows.py": FLOWS})
    return tmp_path


def test_a_line_a_finding_and_a_count_on_the_error_stream(project: Path) -> None:
    assert run(project, "--no-cache") == Outcome(
        1, f"{CYCLE}\n{MISSING}\n", "2 findings in 1 flow (3 steps); 1 fixable with --fix\n"
    )


@pytest.mark.parametrize("command", ["check", "types", "emit", "graph", "explain", "rules"])
def test_every_command_helps(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command, "--help")
    assert (done.status, done.errors) == (0, "")
    assert done.output.startswith("baton-lint: check whole flows")


def test_nothing_found_is_zero(tmp_path: Path) -> None:
    assert run(tmp_path, "--no-cache") == Outcome(0, "", "no flows found\n")
    assert run(tmp_path, "--no-cache", "--quiet") == Outcome(0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nope"], "baton-lint: there is no option --nope; baton-lint --help lists them"),
        (["--format", "xml"], "baton-lint: --format must be one of text, full, json, sarif, github, got xml"),
        (["--jobs", "0"], "baton-lint: --jobs must be a whole number from 1, got 0"),
        (["--select"], "baton-lint: --select needs a value"),
        (["--select", "BTN7"], 'baton-lint: no rule is called "BTN7"; baton-lint rules lists them'),
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["explain", "BTN999"], 'baton-lint: no rule is called "BTN999"; baton-lint rules lists them'),
        (["explain"], "baton-lint: explain needs a code, such as BTN102; baton-lint rules lists them"),
    ],
)
def test_wrong_usage_is_two_with_a_sentence(project: Path, arguments: list[str], message: str) -> None:
    from baton_lint import cli

    from tests.lint.support import inside

    with inside(project):
        process = subprocess.run(
            [sys.executable, "-m", "baton_lint.cli", *arguments], capture_output=True, text=True, check=False
        )
    assert process.returncode == cli.WRONG
    assert process.stderr.splitlines()[0] == message
    assert "Traceback" not in process.stderr


def test_json_has_the_same_keys_for_every_finding(project: Path) -> None:
    found = json.loads(run(project, "--no-cache", "--format", "json").output)
    keys = [
        "path",
        "line",
        "column",
        "end_line",
        "end_column",
        "code",
        "slug",
        "message",
        "help",
        "url",
        "flow",
        "step",
    ]
    assert [list(item) for item in found] == [keys, keys]
    assert found[1] == {
        "path": "flows.py",
        "line": 12,
        "column": 12,
        "end_line": 12,
        "end_column": 28,
        "code": "BTN102",
        "slug": "baton-missing-upstream",
        "message": 'step "report" has no upstream or input called "order"; did you mean "orders"?',
        "help": "rename the parameter to a step of the flow, or mark it as an input: order: Input[...]",
        "url": "https://baton-dsl.readthedocs.io/rules/BTN102",
        "flow": "shop",
        "step": "report",
    }


def test_json_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(run(tmp_path, "--format", "json").output) == []


def test_github_escapes_what_would_end_a_property(project: Path) -> None:
    write(project, {"flows.py": "", "a,b:c%.py": FLOWS})
    lines = run(project, "--no-cache", "--format", "github", "--select", "BTN102").lines
    assert lines == [
        "::error file=a%2Cb%3Ac%25.py,line=12,col=12,endLine=12,endColumn=28,"
        "title=BTN102 baton-missing-upstream::" + MISSING.partition("BTN102: ")[2]
    ]


def test_full_draws_the_cycle_and_frames_the_code(project: Path) -> None:
    assert run(project, "--no-cache", "--format", "full", "--select", "BTN101").output == (
        """\
BTN101 baton-cycle: steps wait for each other: "orders" -> "total" -> "orders"
 --> flows.py:4:12
  |
4 | def orders(total: int) -> list[int]:
  |            ^^^^^^^^^^
  ┌─> "orders" waits for "total"    flows.py:4:12
  │   "total" waits for "orders"    flows.py:8:11
  └──
  help: drop one of these edges, or split a step so that no result is needed before it exists
  https://baton-dsl.readthedocs.io/rules/BTN101
"""
    )


def test_statistics_count_by_rule(project: Path) -> None:
    assert run(project, "--no-cache", "--statistics").lines == [
        "    1  BTN101  baton-cycle",
        "    1  BTN102  baton-missing-upstream",
    ]


def test_rules_are_selected_by_code_slug_and_beginning(project: Path) -> None:
    assert lint(project, "--select", "BTN101") == [CYCLE]
    assert lint(project, "--select", "baton-missing-upstream") == [MISSING]
    assert lint(project, "--select", "BTN1", "--ignore", "BTN102") == [CYCLE]
    assert lint(project, "--select", "BTN2,BTN3") == []


def test_pyproject_chooses_too_and_the_command_line_wins(project: Path) -> None:
    write(project, {"pyproject.toml": '[tool.baton]\nselect = ["BTN101"]\n'})
    assert lint(project) == [CYCLE]
    assert lint(project, "--select", "BTN102") == [MISSING]
    write(project, {"pyproject.toml": '[tool.baton.per-file-ignores]\n"flow*.py" = ["BTN101"]\n'})
    assert lint(project) == [MISSING]
    write(project, {"pyproject.toml": '[tool.baton]\nexclude = ["flows.py"]\n'})
    assert lint(project) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.baton]\nselect = 3", "[tool.baton] select must be a list of rules, got 3"),
        ("[tool.baton]\nselct = []", '[tool.baton] has no key "selct"; the keys are'),
        ("[tool]\nbaton = 7", "tool.baton must be a table, got 7"),
        ("[tool.baton", "is not valid TOML"),
        ("tool = 'baton'", None),
    ],
)
def test_a_wrong_configuration_is_told_and_the_files_are_checked_all_the_same(
    project: Path, text: str, message: str | None
) -> None:
    write(project, {"pyproject.toml": text})
    outcome = run(project, "--no-cache")
    assert outcome.lines == [CYCLE, MISSING]
    assert outcome.status == (1 if message is None else 2)
    assert message is None or message in outcome.errors


def test_comments_suppress_their_line_and_an_unused_one_is_found(project: Path) -> None:
    lines = FLOWS.splitlines()
    lines[3] += "  # baton: ignore[BTN101]"
    lines[11] += "  # noqa  # baton: ignore"
    lines[14] += "  # baton: ignore[BTN102, baton-cycle]"
    write(project, {"flows.py": "\n".join(lines) + "\n"})
    assert lint(project) == [
        "flows.py:15:61: BTN901: BTN102 is ignored, but not found here",
        "flows.py:15:69: BTN901: baton-cycle is ignored, but not found here",
    ]
    assert lint(project, "--select", "BTN101,BTN102") == []


def test_a_single_file_is_understood_with_its_project_and_told_alone(project: Path) -> None:
    write(project, {"flows.py": "from steps import *\n" + FLOWS.replace("def report(", "def other("), "steps.py": ""})
    write(
        project,
        {"late.py": "from baton_dsl import Flow\nfrom flows import orders, report\nshop = Flow('late', orders)\n"},
    )
    assert [line.partition(":")[0] for line in lint(project, "late.py")] == []
    assert {line.partition(":")[0] for line in lint(project)} == {"flows.py"}


def test_explain_prints_the_rule_with_its_examples(tmp_path: Path) -> None:
    text = run(tmp_path, "explain", "BTN102").output
    assert CATALOGUE["BTN102"].why in text
    assert all(example.source in text for example in (*CATALOGUE["BTN102"].bad, *CATALOGUE["BTN102"].good))
    assert run(tmp_path, "explain", "baton-missing-upstream").output == text


def test_rules_lists_every_rule(tmp_path: Path) -> None:
    assert [line.split()[0] for line in run(tmp_path, "rules").lines] == list(CATALOGUE)


def test_graph_draws_what_was_seen(project: Path) -> None:
    assert run(project, "graph").lines == [
        "flowchart TD",
        '    s0["orders"]',
        '    s1["total"]',
        '    s2["report"]',
        "    s1 --> s0",
        "    s0 --> s1",
    ]
    assert "s1 -> s0;" in run(project, "graph", "--format", "dot", "--flow", "shop").output
    assert run(project, "graph", "--flow", "none").errors == 'no flow called "none" found\n'
