"""Modules of users, each with all that mypy says of it as a comment at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy_projects import Prepared, findings

CASES = Path(__file__).parent / "cases"
FILES = {str(path.relative_to(CASES)): path.read_text(encoding="utf-8") for path in sorted(CASES.rglob("*.py"))}
HEADING = "# mypy:\n"


def expected(source: str) -> list[str]:
    _, _, block = source.partition(HEADING)
    return [line.removeprefix("# ") for line in block.splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> dict[str, list[str]]:
    project = prepared.project(tmp_path_factory.mktemp("cases"))
    project.write(FILES)
    return findings(project.check())


@pytest.mark.parametrize("file", FILES)
def test_mypy_says_exactly_what_the_case_says(file: str, told: dict[str, list[str]]) -> None:
    assert told.get(file, []) == expected(FILES[file])
