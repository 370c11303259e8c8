"""The programs that every check judges, checked by mypy with the plugin."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from mypy_projects import Prepared, findings

from baton_dsl.core.rules import CATALOGUE
from tests.doors.programs import PROGRAMS, Findings, Program

CODES = {rule.slug: code for code, rule in CATALOGUE.items()}
FOUND = re.compile(r"(?P<line>\d+):\d+: error: .*  \[(?P<slug>baton[\w-]*)\]")
OWN_NAMES = {"app", "flows"}
"""Modules that many programs have: each gets names of its own, so that one run of mypy checks all."""


def renamed(text: str, number: int) -> str:
    return re.sub(rf"\b({'|'.join(OWN_NAMES)})\b", rf"\1_{number}", text)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> dict[str, list[str]]:
    """What mypy says of every program, all of them checked in one run."""
    project = prepared.project(tmp_path_factory.mktemp("programs"))
    for number, program in enumerate(PROGRAMS):
        project.write({renamed(name, number): renamed(text, number) for name, text in program.files.items()})
    return findings(project.check("--implicit-reexport"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_mypy_finds_what_is_wrong_and_nothing_else(program: Program, told: dict[str, list[str]]) -> None:
    number = PROGRAMS.index(program)
    found: Findings = Counter(
        (name, int(match["line"]), CODES.get(match["slug"], match["slug"]))
        for name in program.files
        for line in told.get(renamed(name, number), ())
        if (match := FOUND.fullmatch(line))
    )
    assert found == program.expected("mypy")
