"""The corpus of edges gets one verdict, whichever door it goes through."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import edge_corpus as edges
import pytest
from mypy_projects import Project, findings

from tests.lint.support import lint, run, write

UPSTREAM_TYPE = "baton-upstream-type"


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


def named(found: list[int]) -> list[str]:
    return [f"{edges.EDGES[number].source} -> {edges.EDGES[number].target}" for number in found]


def test_the_corpus_has_sixty_edges_and_both_verdicts() -> None:
    assert len(edges.EDGES) >= 60
    assert len(edges.WRONG) >= 30
    assert len(edges.EDGES) - len(edges.WRONG) >= 30


def test_run_time_finds_the_wrong_edges_that_it_knows(corpus: ModuleType) -> None:
    found = [
        number
        for number in range(len(edges.EDGES))
        if any(finding.slug == UPSTREAM_TYPE for finding in getattr(corpus, f"flow_{number}").diagnostics())
    ]
    assert named(found) == named([number for number in edges.WRONG if edges.EDGES[number].is_known])


def test_mypy_with_the_plugin_finds_every_wrong_edge(project: Project) -> None:
    project.write({"corpus.py": edges.module()})
    number_at = edges.lines()
    found = [
        number_at[int(line.partition(":")[0])]
        for line in findings(project.check()).get("corpus.py", [])
        if f"[{UPSTREAM_TYPE}]" in line
    ]
    assert named(found) == named(edges.WRONG)


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """The corpus, as a project of one file."""
    write(tmp_path, {"pyproject.toml": "", "corpus.py": edges.module()})
    return tmp_path


def numbers(lines: list[str]) -> list[int]:
    """The edges that lines of baton-lint are about."""
    number_at = edges.lines()
    return [number_at[int(line.split(":")[1])] for line in lines]


def test_source_text_finds_the_wrong_edges_that_it_knows(on_disk: Path) -> None:
    found = numbers(lint(on_disk, "--select", "BTN201"))
    assert named(found) == named([number for number in edges.WRONG if edges.EDGES[number].is_known])


@pytest.mark.parametrize(
    "checker",
    ["mypy", *(pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty", "pyrefly"))],
)
def test_a_plain_checker_finds_every_wrong_edge(checker: str, on_disk: Path) -> None:
    outcome = run(on_disk, "types", "--checker", checker)
    assert outcome.errors == f"{len(edges.WRONG)} findings in {len(edges.EDGES)} edges, asked of {checker}\n"
    assert all(": BTN201: " in line for line in outcome.lines)
    assert named(numbers(outcome.lines)) == named(edges.WRONG)
