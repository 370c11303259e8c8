"""The plugin's interface to mypy: its names, settings, failures, and imports."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from baton_mypy import names
from baton_mypy.codes import BATON, OF_RULE
from baton_mypy.hooks import hooks
from baton_mypy.settings import CHECKED, Settings
from mypy_projects import Project

FLOW = """\
from baton_dsl import Flow, step

@step
def price() -> str:
    return "1"

@step
def total(price: int) -> int:
    return price

shop = Flow("shop", price, total)
"""
PRICE = 'flow.py:8:11: error: parameter "price" of step "total" is int, but upstream "price" gives str'


@pytest.mark.parametrize(
    "full_name",
    [value for key, value in vars(names).items() if isinstance(value, str) and key.isupper()],
)
def test_a_name_that_is_hooked_exists_and_lives_where_it_says(full_name: str) -> None:
    module, _, name = full_name.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert found.__module__ == module


def test_the_plugin_loads_no_runtime_and_no_driver() -> None:
    program = "import baton_mypy, sys, json; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert not [
        name
        for name in loaded
        if name.partition(".")[0] in ("oban", "psycopg", "psycopg_pool", "sqlalchemy", "libcst")
        or name.startswith("baton_dsl.runtime")
    ]


def test_every_rule_has_a_code_of_its_own_below_one_parent() -> None:
    assert {code.code for code in OF_RULE.values()} == set(OF_RULE)
    assert {code.sub_code_of for code in OF_RULE.values()} == {BATON}


def test_each_name_that_mypy_is_told_of_has_its_hook() -> None:
    table = hooks(CHECKED)
    assert (set(table.functions), set(table.methods)) == (names.FUNCTIONS, names.METHODS)
    assert (set(table.signatures), set(table.attributes)) == (names.SIGNATURES, names.ATTRIBUTES)


def test_a_program_without_flows_loads_no_rule(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("text = 1\n", encoding="utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\nplugins = baton_mypy\n", encoding="utf-8")
    program = (
        "import sys; from mypy import api; out = api.run(['--no-incremental', 'plain.py']); "
        "assert out[2] == 0, out; print('baton_mypy.entry' in sys.modules, 'baton_dsl.core.check' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    ("table", "off", "problem"),
    [
        ({}, set(), None),
        ({"ignore": ["BTN201"]}, {"BTN201"}, None),
        ({"ignore": ["baton-cycle"]}, {"BTN101"}, None),
        ({"ignore": ["BTN2"]}, {code for code in CHECKED if code.startswith("BTN2")}, None),
        ({"select": ["BTN101", "BTN201"], "ignore": ["BTN201"]}, CHECKED - {"BTN101"}, None),
        (
            {"ignore": ["baton-cycel"]},
            set(),
            'pyproject.toml: [tool.baton]: ignore: unknown rule "baton-cycel"; did you mean "baton-cycle"?',
        ),
        ({"select": "BTN101"}, set(), "pyproject.toml: [tool.baton]: select must be a list of rules, got 'BTN101'"),
        ({"exclude": ["build"]}, set(), None),
    ],
)
def test_the_rules_are_chosen_in_pyproject(table: dict[str, object], off: set[str], problem: str | None) -> None:
    settings = Settings.of(table, "pyproject.toml")
    assert CHECKED - settings.codes == off
    assert settings.problems == ((problem,) if problem else ())


def test_a_wrong_setting_is_told_and_the_flow_is_checked(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write({"flow.py": FLOW})
    (project.folder / "pyproject.toml").write_text('[tool.baton]\nignore = ["BTN1000"]\n', encoding="utf-8")
    assert PRICE in project.check()
    assert 'pyproject.toml: [tool.baton]: ignore: unknown rule "BTN1000"' in capsys.readouterr().err


def test_a_failure_of_the_plugin_is_an_error_and_not_the_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("baton_mypy.flows.check", fail)
    project.write({"flow.py": FLOW, "other.py": "text: str = 1\n"})
    said = project.check()
    assert "flow.py:11:8: error: baton_mypy failed, so this is not checked: ZeroDivisionError: oh  [baton]" in said
    assert "other.py:1:13: error: Incompatible types in assignment" in said
