"""Every rule's own examples, checked as source text: the same places, codes and words."""

from pathlib import Path
from unittest import mock

import pytest
from baton_lint.program import analysis

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


NOT_ABOUT_A_STEP = {
    "BTN105": "a flow may take the step under another name",
    "BTN303": "what is bound to a step is known where a flow takes it",
    "BTN304": "whether an input has the name of a step is known in a flow",
    "BTN306": "tests define steps within functions, and put them into no flow",
    "BTN903": "of a step that is in no flow, no flow is known",
}
"""Rules that find something in a step alone and are all the same about flows, each with the reason."""


@pytest.mark.parametrize(
    ("rule", "example"),
    [
        pytest.param(rule, example, id=f"{rule.code}-{number}")
        for rule in CATALOGUE.values()
        if rule.run is not None
        for number, example in enumerate(rule.bad)
    ],
)
def test_a_rule_about_a_step_says_so(rule: Rule, example: Example, tmp_path: Path) -> None:
    """Every rule is tested on its own examples without their flows."""
    (tmp_path / "flows.py").write_text(example.source.replace("Flow(", "print("), encoding="utf-8")
    with mock.patch.object(analysis, "ALONE", frozenset(CATALOGUE)):
        found = lint(tmp_path, "--extend-select", rule.code)
    if any(f": {rule.code}: " in line for line in found) and rule.code not in NOT_ABOUT_A_STEP:
        assert rule.is_about_a_step, (
            f"{rule.code} finds something in steps that are in no flow: set is_about_a_step=True in its RULE, "
            "or name it in NOT_ABOUT_A_STEP with the reason"
        )


def test_every_rule_can_be_decided_by_text_or_says_that_it_can_not() -> None:
    unseen = {code for code, rule in CATALOGUE.items() if Door.TEXT not in rule.doors}
    assert unseen == set()
