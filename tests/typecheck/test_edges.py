"""The corpus of edges gets one verdict from every check."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import edge_corpus as edges
import pytest
from mypy_projects import Project, findings

from baton_dsl.core.rules import CATALOGUE
from tests.lint.support import lint, run, write

CODES = ("BTN201", "BTN202", "BTN205")
SLUGS = {CATALOGUE[code].slug: code for code in CODES}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The corpus, imported."""
    path = tmp_path_factory.mktemp("corpus") / "baton_edge_corpus.py"
    path.write_text(edges.module(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


type Found = tuple[int, str]
"""The number of an edge, and the code of what is found at it."""


def told(found: list[Found]) -> list[str]:
    return [f"{edges.EDGES[number].source} -> {edges.EDGES[number].target}: {code}" for number, code in found]


def wrong(*, known: bool = False) -> list[Found]:
    """What is to be found, by all doors or by those that know no more than run time."""
    return [(number, edges.EDGES[number].code) for number in edges.WRONG if edges.EDGES[number].is_known or not known]


def test_the_corpus_has_edges_of_both_verdicts() -> None:
    assert len(edges.EDGES) >= 150
    assert len(edges.WRONG) >= 60
    assert len(edges.EDGES) - len(edges.WRONG) >= 60


def test_run_time_finds_the_wrong_edges_that_it_knows(corpus: ModuleType) -> None:
    found = [
        (number, finding.code)
        for number in range(len(edges.EDGES))
        for finding in getattr(corpus, f"flow_{number}").diagnostics()
        if finding.code in CODES
    ]
    assert told(found) == told(wrong(known=True))


def test_mypy_with_the_plugin_finds_every_wrong_edge(project: Project) -> None:
    project.write({"corpus.py": edges.module()})
    number_at = edges.lines()
    found = [
        (number_at[int(line.partition(":")[0])], SLUGS[slug])
        for line in findings(project.check()).get("corpus.py", [])
        for slug in SLUGS
        if f"[{slug}]" in line and ": error: " in line
    ]
    assert told(found) == told(wrong())


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """The corpus, as a project of one file."""
    write(tmp_path, {"pyproject.toml": "", "corpus.py": edges.module()})
    return tmp_path


def read(lines: list[str]) -> list[Found]:
    """The edges that lines of baton-lint are about."""
    number_at = edges.lines()
    return [(number_at[int(line.split(":")[1])], line.split(": ")[1]) for line in lines]


def test_source_text_finds_the_wrong_edges_that_it_knows(on_disk: Path) -> None:
    assert told(read(lint(on_disk, "--select", ",".join(CODES)))) == told(wrong(known=True))


@pytest.mark.parametrize(
    "checker",
    ["mypy", *(pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty", "pyrefly"))],
)
def test_a_plain_checker_finds_every_wrong_edge(checker: str, on_disk: Path) -> None:
    outcome = run(on_disk, "types", "--checker", checker)
    assert told(read(outcome.lines)) == told(wrong())
    summary = re.fullmatch(rf"(\d+) findings in (\d+) edges, asked of {checker}\n", outcome.errors)
    assert summary is not None, outcome.errors
    assert int(summary[1]) == len(edges.WRONG)
    assert int(summary[2]) >= sum(edge.is_claimed for edge in edges.EDGES)
