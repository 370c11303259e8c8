"""Every rule's own examples, through the door of source text: the same places, codes and words."""

from pathlib import Path

import pytest

from baton_dsl.core.rules import CATALOGUE, Door, Example, Rule
from tests.lint.support import lint

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.code}-{kind}-{number}")
    for rule in CATALOGUE.values()
    for kind, examples in (("bad", rule.bad), ("good", rule.good))
    for number, example in enumerate(examples)
    if Door.TEXT in example.doors
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_an_example_finds_exactly_what_it_says(rule: Rule, example: Example, tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(example.source, encoding="utf-8")
    assert lint(tmp_path, "--extend-select", rule.code) == [f"flows.py:{found}" for found in example.finds]


def test_every_rule_can_be_decided_by_text_or_says_that_it_can_not() -> None:
    unseen = {code for code, rule in CATALOGUE.items() if Door.TEXT not in rule.doors}
    assert unseen == set()
