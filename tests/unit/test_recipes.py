"""The recipes of CONTRIBUTING: a forgotten place is reported by a sentence."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any, TypeAliasType

import pytest
from baton_lint.program.known import OURS
from baton_mypy import names

import baton_dsl
from baton_dsl.core import rules
from baton_dsl.core.rules import CATALOGUE
from baton_dsl.peeling import peel
from baton_dsl.runtime.sql import pieces

step = importlib.import_module("baton_dsl.step")
ROOT = Path(__file__).parents[2]


# --- a rule ----------------------------------------------------------------------------------------------------------


def test_every_rule_is_in_the_catalogue() -> None:
    modules = [
        importlib.import_module(f"{rules.__name__}.{found.name}") for found in pkgutil.iter_modules(rules.__path__)
    ]
    found = {module.RULE.code: module.__name__ for module in modules if hasattr(module, "RULE")}
    forgotten = sorted(found[code] for code in found.keys() - CATALOGUE.keys())
    assert not forgotten, f"name these rules in CATALOGUE of core/rules/__init__.py: {forgotten}"


def test_every_rule_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    forgotten = [code for code in CATALOGUE if f"rules/{code}.md" not in text]
    assert not forgotten, f"name the pages of these rules in the navigation of mkdocs.yml: {forgotten}"


# --- a step option ---------------------------------------------------------------------------------------------------

SOURCES = {
    path: path.read_text()
    for path in (ROOT / "baton_dsl").rglob("*.py")
    if path.name not in ("step.py", "flow_options.py", "option.py", "map_option.py")
}


@pytest.mark.parametrize("name", sorted(step.StepOptions.__optional_keys__))
def test_something_is_done_with_every_option_of_a_step(name: str) -> None:
    is_read = any(f'"{name}"' in text for text in SOURCES.values())
    assert is_read, f"the option {name} does nothing: implement it in runtime/lowering/lower.py or runtime/executing"


# --- a marker --------------------------------------------------------------------------------------------------------


def marker_of(value: Any) -> Any:
    """What `type Input[T] = Annotated[T, InputMarker()]` marks a parameter with; None for any other value."""
    marks = getattr(value.__value__, "__metadata__", ()) if isinstance(value, TypeAliasType) else ()
    return next((mark for mark in marks if type(mark).__module__ == step.__name__), None)


MARKERS = {name: marker_of(value) for name, value in vars(step).items() if marker_of(value) is not None}


def test_the_markers_are_found() -> None:
    assert {"Input", "Each"} <= MARKERS.keys()


@pytest.mark.parametrize("name", MARKERS)
def test_every_front_end_knows_a_marker(name: str) -> None:
    marker = type(MARKERS[name]).__name__
    assert name in baton_dsl.__all__, f"name {name} in _HOMES and __all__ of baton_dsl/__init__.py"
    assert peel(getattr(step, name)[int]).annotation is int, f"name {marker} in _MARKERS of baton_dsl/peeling.py"
    lacking = {f"baton_dsl.{name}", f"baton_dsl.step.{name}", f"baton_dsl.step.{marker}"} - OURS.keys()
    assert not lacking, f"name {name} and {marker} in OURS of plugin/baton_lint/program/known.py: it lacks {lacking}"
    full_name = f"baton_dsl.step.{name}"
    assert full_name in names.MARKERS, f"name {full_name} in MARKERS of plugin/baton_mypy/names.py"
    text = (ROOT / "docs" / "reference" / "options.md").read_text()
    assert f"{name}[" in text, f"docs/reference/options.md does not say what {name} is"


# --- a change of SQL -------------------------------------------------------------------------------------------------

NOT_GRANTED = {
    ("read", "baton_checkpoints"): "only the next attempt of a step reads what an earlier one has stored",
    ("read", "baton_spans"): "only the steps behind read the span of an attempt",
    ("read", "baton_suspects"): "only workers rescue",
    ("operate", "baton_suspects"): "only workers rescue",
}
"""Tables that a role does not need, each with the reason."""


@pytest.mark.parametrize("table", pieces.tables())
@pytest.mark.parametrize("role", ["worker", "operate", "read"])
def test_a_table_is_granted_to_every_role_that_needs_it(table: str, role: str) -> None:
    granted = re.search(rf"\bjobs\.{table}\b", pieces.text_of("grants", role)) is not None
    if (role, table) in NOT_GRANTED:
        assert not granted
    else:
        assert granted, f"grant the table {table} in runtime/sql/grants/{role}.sql, or say in NOT_GRANTED why not"


@pytest.mark.parametrize("version", pieces.versions()[1:])
def test_an_upgrade_grants_its_tables_to_whom_had_rights_before(version: str) -> None:
    text = pieces.text_of("tables", version)
    made = re.findall(r"^CREATE (?:UNLOGGED )?TABLE IF NOT EXISTS (baton\.\w+)", text, re.MULTILINE)
    granted = "".join(re.findall(r"EXECUTE 'GRANT ' \|\| own\.privileges \|\| '([^']*)'", text))
    forgotten = [table for table in made if not re.search(rf"{re.escape(table)}\b", granted)]
    assert not forgotten, f"grant these tables at the end of runtime/sql/tables/{version}.sql: {forgotten}"
