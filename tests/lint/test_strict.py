"""`--strict` reports what was not checked: flows as findings; annotations, files and folders on the error stream."""

from pathlib import Path

from tests.lint.support import run, write
from tests.lint.test_notebooks import notebook

FLOWS = """\
from typing import Any, Self
from baton_dsl import Flow, Input, StepContext, step
from models import Row, make

Made = make()

@step
def rows(ctx: StepContext, day: Input[Row], any: Input[Any]) -> list[Made]:
    return [ctx, day, any]

@step
def report(rows: list[Made], count: Input[dict[str, Self | None]]) -> int:
    return len(rows) + len(count)

@step
def alone(x: Input[Made]) -> int:
    return x

shop = Flow("shop", rows, report)
"""
MODELS = "class Row: ...\ndef make(): ...\n"
NOT_CHECKED = "so nothing that depends on its type is checked"
UNTOLD = f"can't be resolved (what a call gives), {NOT_CHECKED}"


def test_annotations_that_cannot_be_told_are_listed(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "flows.py": FLOWS, "models.py": MODELS})
    expected = [
        f'flows.py:8:65: left alone: the return annotation of step "rows" {UNTOLD}',
        f'flows.py:12:12: left alone: the annotation of "rows" in step "report" {UNTOLD}',
        f'flows.py:12:30: left alone: the annotation of "count" in step "report" can\'t be resolved, {NOT_CHECKED}',
        f'flows.py:16:11: left alone: the annotation of "x" in step "alone" {UNTOLD}',
    ]
    for more in (("--no-cache",), (), ()):
        outcome = run(tmp_path, "--strict", "--select", "BTN102", *more)
        assert (outcome.status, outcome.output) == (0, "")
        assert outcome.errors.splitlines()[:-1] == expected
    assert "left alone" not in run(tmp_path).errors
    write(tmp_path, {"pyproject.toml": "[tool.baton]\nstrict = true\n"})
    assert expected[0] in run(tmp_path).errors
    assert "left alone" not in run(tmp_path, "models.py").errors


def test_they_are_listed_by_cell(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "models.py": MODELS, "nb.ipynb": notebook("x = 1", FLOWS)})
    assert f'nb.ipynb:cell 2:8:65: left alone: the return annotation of step "rows" {UNTOLD}' in (
        run(tmp_path, "--strict").errors.splitlines()
    )


def test_links_to_folders_are_listed(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "models.py": MODELS, "other/flows.py": FLOWS})
    (tmp_path / "link").symlink_to(tmp_path / "other")
    assert "link: left alone: is a link to a folder, and those are not followed" in run(tmp_path, "--strict").errors
