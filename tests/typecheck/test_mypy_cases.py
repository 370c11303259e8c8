"""Modules of users, one idea each, with all that mypy says of them: `LINE:COLUMN: ...` below `out`.

`files` are modules that the case imports; those in `cases/shop` are there for every case.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mypy_projects import Prepared, findings

FOLDER = Path(__file__).parent / "cases"
CASES = {
    f"{path.stem}_{number}": case
    for path in sorted(FOLDER.glob("*.yml"))
    for number, case in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")))
}
SHARED = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in sorted(FOLDER.rglob("*.py"))}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> dict[str, list[str]]:
    """What mypy says of every case, all of them checked in one run."""
    project = prepared.project(tmp_path_factory.mktemp("cases"))
    imported = {name: text for case in CASES.values() for name, text in case.get("files", {}).items()}
    project.write({**SHARED, **imported, **{f"{name}.py": case["main"] for name, case in CASES.items()}})
    return findings(project.check())


@pytest.mark.parametrize("name", [pytest.param(name, id=case["case"]) for name, case in CASES.items()])
def test_mypy_says_exactly_what_the_case_says(name: str, told: dict[str, list[str]]) -> None:
    assert told.get(f"{name}.py", []) == CASES[name]["out"].splitlines()


def test_nothing_is_said_of_the_modules_that_cases_share(told: dict[str, list[str]]) -> None:
    assert set(told) <= {f"{name}.py" for name in CASES}


def test_a_case_has_a_name_of_its_own_and_no_file_of_another() -> None:
    names = [case["case"] for case in CASES.values()]
    files = [*SHARED, *(name for case in CASES.values() for name in case.get("files", {}))]
    assert len(set(names)) == len(names)
    assert len(set(files)) == len(files)
