"""The steps of the audit, called as the plain functions that they are."""

import sys
from pathlib import Path
from typing import Any

import pytest
from baton_audit import facts, package_audit
from baton_audit.inventory import distributions, environment, inventory
from baton_audit.licences import family_of, licence_of, licences
from baton_audit.page import readable
from baton_audit.report import audit, findings, page, report, text
from baton_audit.requirements import cycles, dependencies, unmet
from baton_audit.weight import import_candidates, import_cost, import_costs, read_import_times, sizes
from hypothesis import given
from playwright.sync_api import sync_playwright

from baton_dsl.testing import Baton
from tests.chromium import chromium
from tests.strategies import Dag, dags

WEAK, STRONG, PERMISSIVE, UNKNOWN = (
    facts.Family.WEAK_COPYLEFT,
    facts.Family.STRONG_COPYLEFT,
    facts.Family.PERMISSIVE,
    facts.Family.UNKNOWN,
)


def installed(name: str, *requires: str, version: str = "1.0", **more: Any) -> facts.Distribution:
    given_facts: dict[str, Any] = {
        "name": name,
        "version": version,
        "summary": "",
        "licence_expression": None,
        "licence_text": None,
        "licence_classifiers": [],
        "requires": list(requires),
        "modules": [name],
    }
    return facts.Distribution(**given_facts | more)


def stock_of(*distributions: facts.Distribution) -> facts.Inventory:
    return facts.Inventory(distributions=list(distributions), shadowed=[], unreadable=[])


def graph_of(*distributions: facts.Distribution) -> facts.Dependencies:
    return dependencies(stock_of(*distributions), environment())


def test_the_flow_is_right_and_has_layers() -> None:
    order = package_audit.validate()
    assert len(order) == 15
    assert len(package_audit.checked().graph.layers()) == 9
    assert package_audit.diagnostics() == ()


def test_inventory_reads_what_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name, version in (("one", "Left_Pad", "1.0"), ("two", "left-pad", "0.9"), ("two", "nameless", "")):
        info = tmp_path / folder / f"{name}-{version or 0}.dist-info"
        info.mkdir(parents=True)
        told = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
        (info / "METADATA").write_text(told if version else "Metadata-Version: 2.4\n")
        files = ("left_pad/__init__.py", "left_pad/pad.py", "_pad.py", "left_pad/notes.txt")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        (tmp_path / folder / "left_pad").mkdir(exist_ok=True)
        for file in files:
            (tmp_path / folder / file).touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "one"), str(tmp_path / "two")])
    found = inventory()
    assert [(it.name, it.version, it.licence_expression) for it in found.distributions] == [("left-pad", "1.0", "MIT")]
    assert found.distributions[0].modules == ["_pad", "left_pad"]
    assert found.shadowed == ["left-pad 0.9"]
    assert len(found.unreadable) == 1


def test_the_audit_of_this_environment_sees_itself() -> None:
    here = inventory()
    assert {"baton-dsl", "pydantic", "packaging"} <= {it.name for it in here.distributions}
    weights = [sizes(it) for it in distributions(here)]
    assert [it.distribution for it in weights] == [it.name for it in here.distributions]
    assert sum(it.bytes for it in weights) > 1_000_000


@pytest.mark.parametrize(
    ("expression", "family"),
    [
        ("MIT", PERMISSIVE),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", WEAK),
        ("Apache-2.0 OR GPL-3.0-only", PERMISSIVE),
        ("MIT AND GPL-3.0-only OR LGPL-3.0", WEAK),
        ("GPL-2.0-only WITH Classpath-exception-2.0", STRONG),
        ("BSD 2-Clause License", PERMISSIVE),
        ("Apache License 2.0", PERMISSIVE),
        ("The MIT License", PERMISSIVE),
        ("Proprietary", UNKNOWN),
        ("MIT AND (", UNKNOWN),
        ("MIT )", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_a_licence_has_a_family(expression: str, family: facts.Family) -> None:
    assert family_of(expression) is family


def test_an_expression_counts_more_than_classifiers_and_those_more_than_free_text() -> None:
    everything = installed(
        "x",
        licence_expression="ISC",
        licence_classifiers=["License :: OSI Approved", "License :: OSI Approved :: MIT License"],
        licence_text="Apache 2.0\nand a page of words",
    )
    assert licence_of(everything) == "ISC"
    assert licence_of(everything.model_copy(update={"licence_expression": None})) == "MIT"
    bare = everything.model_copy(update={"licence_expression": None, "licence_classifiers": []})
    assert licence_of(bare) == "Apache 2.0"
    assert licence_of(installed("y")) == "unknown"
    assert [licences(it).family for it in (bare, installed("y"))] == [PERMISSIVE, UNKNOWN]


def test_a_requirement_is_met_by_a_version_that_fits() -> None:
    found = graph_of(installed("app", "Lib.X >=2", "other<1"), installed("lib-x", version="1.9"))
    assert [(it.source, it.target, it.specifier, it.installed, it.is_met) for it in found.requirements] == [
        ("app", "lib-x", ">=2", "1.9", False),
        ("app", "other", "<1", None, False),
    ]
    assert unmet(found) == found.requirements


def test_a_prerelease_meets_a_requirement() -> None:
    assert unmet(graph_of(installed("app", "lib>=2"), installed("lib", version="2.1rc1"))) == []


def test_extras_count_only_when_somebody_asks_for_them() -> None:
    lib = installed("lib", 'fast; extra == "speed"', 'slow; extra == "sloth"', 'faster[x]; extra == "speed"')
    assert graph_of(lib).requirements == []
    asked = graph_of(installed("app", "lib[speed]"), lib)
    assert [(it.source, it.target, it.extra) for it in asked.requirements] == [
        ("app", "lib", ""),
        ("lib", "fast", "speed"),
        ("lib", "faster", "speed"),
    ]


def test_markers_are_compared_with_this_environment() -> None:
    app = installed("app", 'never; python_version < "3"', 'always; python_version >= "3"')
    assert [it.target for it in graph_of(app).requirements] == ["always"]


def test_a_malformed_requirement_is_told_and_stops_nothing() -> None:
    found = graph_of(installed("app", "what is this", "lib"), installed("lib"))
    assert found.malformed == ["app: what is this"]
    assert [it.target for it in found.requirements] == ["lib"]


@given(dags())
def test_an_environment_without_cycles_has_none(dag: Dag) -> None:
    names = {name: f"d{index}" for index, name in enumerate(dag.upstreams)}
    stock = [installed(names[name], *(names[up] for up in ups)) for name, ups in dag.upstreams.items()]
    assert cycles(graph_of(*stock)) == []


def test_a_cycle_is_found_once_by_its_shortest_way() -> None:
    stock = (
        installed("a", "b"),
        installed("b", "c", "a"),
        installed("c", "a"),
        installed("d", "d", "a"),
    )
    assert cycles(graph_of(*stock)) == [["a", "b"], ["c", "a", "b"]]


def test_the_largest_packages_are_worth_timing() -> None:
    stock = stock_of(
        installed("pip"),
        installed("py-yaml", modules=["_yaml", "yaml", "py_yaml"]),
        installed("tiny"),
        installed("empty", modules=[]),
    )
    weights = [
        facts.Size(distribution=it.name, bytes=size, files=1)
        for it, size in zip(stock.distributions, (99, 7, 9, 80), strict=True)
    ]
    assert import_candidates(stock, weights, imports=2) == [("tiny", "tiny"), ("py-yaml", "py_yaml")]
    assert import_candidates(stock, weights, imports=0) == []


def test_import_times_are_read_from_the_report_of_the_interpreter() -> None:
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       100 |        100 |   encodings.aliases",
        "import time:       500 |        600 | encodings",
        "import time:        20 |         20 |     json.scanner",
        "import time:        30 |         50 |   json.decoder",
        "import time:        70 |        120 | json",
    ]
    assert read_import_times(lines, "json") == (120, 3)
    assert read_import_times(lines, "yaml") == (None, 0)


async def test_import_costs_are_measured_and_failures_told() -> None:
    costs = [await import_costs(it) for it in (("stdlib", "json.tool"), ("none", "no_such_module"))]
    assert [cost.module for cost in costs] == ["json.tool", "no_such_module"]
    assert costs[0].milliseconds
    assert costs[0].error is None
    assert costs[1].error == "ModuleNotFoundError: No module named 'no_such_module'"


async def test_an_import_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import threading; threading.Event().wait()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("baton_audit.weight.PATIENCE", 0.2)
    assert (await import_cost("hangs", "hangs")).error == "took more than 0.2 s"


def whole_audit() -> facts.Audit:
    stock = stock_of(
        installed("app", "gone>=3", "loop", licence_expression="GPL-3.0-only", summary="<script>alert(1)</script>"),
        installed("loop", "app", licence_text="<b>mine</b>"),
    )
    stock = stock.model_copy(update={"shadowed": ["app 0.9"], "unreadable": ["site-packages"]})
    needs = dependencies(stock, environment())
    costs = [
        facts.ImportCost(distribution="app", module="app", milliseconds=None, modules=0, error="ImportError: no"),
        facts.ImportCost(distribution="loop", module="loop", milliseconds=812.5, modules=40, error=None),
    ]
    weights = [
        facts.Size(distribution="loop", bytes=5, files=1),
        facts.Size(distribution="app", bytes=12_300_000, files=3),
    ]
    found = findings(stock, needs, [licences(it) for it in stock.distributions], unmet(needs), cycles(needs), costs)
    told = [licences(it) for it in stock.distributions]
    return audit(environment(), stock, told, weights, needs, cycles(needs), costs, found)


def test_findings_are_told_problems_first() -> None:
    assert [(it.level.value, it.subject, it.message) for it in whole_audit().findings] == [
        ("problem", "site-packages", "has metadata without a name or version"),
        ("problem", "app", "needs gone>=3, but it is not installed"),
        ("notice", "app 0.9", "is installed twice; another one comes first on sys.path"),
        ("notice", "app", "can't be imported by itself: ImportError: no"),
        ("notice", "app", "depends on itself: app → loop → app"),
        ("notice", "app", "is under a strong copyleft licence: GPL-3.0-only"),
        ("notice", "loop", "is under a licence that the audit can't tell: <b>mine</b>"),
        ("notice", "loop", "takes 812 ms to import"),
    ]


def test_the_report_holds_the_text_and_a_page_that_needs_nothing_else() -> None:
    whole = whole_audit()
    told = report(text(whole), page(whole))
    assert "  requirements        3   1 unmet, 1 cycles" in told.text
    assert "Findings: 8" in told.text
    assert told.html.startswith("<!doctype html>")
    assert "<script" not in told.html
    assert "<b>mine" not in told.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told.html
    assert "http" not in told.html
    assert facts.Report.model_validate_json(told.model_dump_json()) == told


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 400, 1280])
def test_the_page_has_no_horizontal_scrollbar(width: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": width, "height": 800})
        shown.set_content(page(whole_audit()))
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        browser.close()


def test_what_is_largest_and_slowest_comes_first() -> None:
    whole = whole_audit()
    assert [it.distribution for it in whole.sizes] == ["app", "loop"]
    assert [it.module for it in whole.import_costs] == ["loop", "app"]


def test_an_empty_environment_has_a_report_too() -> None:
    nothing = stock_of()
    needs = dependencies(nothing, environment())
    whole = audit(environment(), nothing, [], [], needs, [], [], [])
    assert "Findings: none" in text(whole)
    assert "Nothing to mend" in page(whole)


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (999, "999 B"), (12_300, "12.3 kB"), (5e12, "5000.0 GB")])
def test_sizes_are_readable(count: float, said: str) -> None:
    assert readable(count) == said


def test_the_whole_audit_runs_in_memory_without_importing_what_it_measures(baton: Baton) -> None:
    def cost(candidate: tuple[str, str]) -> facts.ImportCost:
        distribution, module = candidate
        return facts.ImportCost(distribution=distribution, module=module, milliseconds=1.0, modules=1, error=None)

    run = baton.sync.run(package_audit, imports=3, replace={import_costs: cost})
    assert run.outcome == "completed", str(run)
    assert run.attempts(import_costs) == len(run.items(import_costs)) == 3
    assert run[report]
