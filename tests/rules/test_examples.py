"""Every rule's own examples, checked as live functions."""

import importlib.util
import sys
from pathlib import Path

import pytest

from baton_dsl import Flow, FlowError
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import CATALOGUE, Door, Example

EXAMPLES = [
    pytest.param(example, id=f"{rule.code}-{kind}-{number}")
    for rule in CATALOGUE.values()
    for kind, examples in (("bad", rule.bad), ("good", rule.good))
    for number, example in enumerate(examples)
    if Door.LIVE in example.doors
]


def live_findings(source: str, folder: Path) -> list[Diagnostic]:
    """Import a module and collect everything that is wrong with its flows."""
    path = folder / "example.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("baton_rule_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except FlowError as error:
        return list(error.diagnostics)
    return [finding for value in vars(module).values() if isinstance(value, Flow) for finding in value.diagnostics()]


def written(finding: Diagnostic) -> str:
    assert finding.place is not None, finding
    return f"{finding.place.line}:{finding.place.column}: {finding.headline}"


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_finds_exactly_what_it_says(example: Example, tmp_path: Path) -> None:
    assert tuple(map(written, live_findings(example.source, tmp_path))) == example.finds


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_rule_has_a_reason_and_examples_of_both_kinds(code: str) -> None:
    rule = CATALOGUE[code]
    assert rule.why
    assert rule.bad
    assert rule.good
    assert all(example.finds for example in rule.bad)
    assert not any(example.finds for example in rule.good)
    assert {finding.split(": ")[1] for example in rule.bad for finding in example.finds} == {code}
