"""The corpus of edges gets one verdict, whichever door it goes through."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import edge_corpus as edges
import pytest
from baton_lint.checkers import prove
from mypy_projects import Project, findings

from baton_dsl.reflect import LIVE_TYPES

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


def named(numbers: list[int]) -> list[str]:
    return [f"{edges.EDGES[number].source} -> {edges.EDGES[number].target}" for number in numbers]


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


@pytest.mark.parametrize(
    "checker",
    ["mypy", *(pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty", "pyrefly"))],
)
def test_a_plain_checker_finds_every_wrong_edge_in_emitted_calls(checker: str, corpus: ModuleType) -> None:
    flows = []
    for number in range(len(edges.EDGES)):
        steps = {name: f"{corpus.__name__}:{name}" for name in (f"up_{number}", f"down_{number}")}
        flows.append((getattr(corpus, f"flow_{number}").spec(places=True), steps))
    folder = Path(str(corpus.__file__)).parent
    proof = prove(flows, checker, roots=[folder], types=LIVE_TYPES)
    number_at = edges.lines()
    assert proof.problems == ()
    assert proof.claims == len(edges.EDGES)
    found = [number_at[finding.place.line] for finding in proof.findings if finding.place]
    assert named(found) == named(edges.WRONG)
