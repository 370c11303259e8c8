"""Every rule's own examples, checked by mypy with the plugin."""

from __future__ import annotations

import re

import pytest
from mypy_projects import Prepared, findings

from baton_dsl.core.rules import CATALOGUE, Door, unparsable_file

EXAMPLES = {
    f"{rule.code.lower()}_{kind}_{number}": example
    for rule in CATALOGUE.values()
    for kind, examples in (("bad", rule.bad), ("good", rule.good))
    for number, example in enumerate(examples)
    if rule is not unparsable_file.RULE  # mypy stops at what it can't parse
}
SLUGS = {rule.slug: code for code, rule in CATALOGUE.items()}
FINDING = re.compile(r"(?P<place>\d+:\d+): error: (?P<message>.*)  \[(?P<slug>[\w-]+)\]")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> dict[str, list[str]]:
    """What mypy says of each example, all of them checked in one run."""
    project = prepared.project(tmp_path_factory.mktemp("examples"))
    project.write({f"{name}.py": example.source for name, example in EXAMPLES.items()})
    return findings(project.check())


def of_catalogue(lines: list[str]) -> list[str]:
    found = [match.groupdict() for line in lines if (match := FINDING.fullmatch(line))]
    return [f"{item['place']}: {SLUGS[item['slug']]}: {item['message']}" for item in found if item["slug"] in SLUGS]


def once_a_line(finds: tuple[str, ...]) -> list[str]:
    """mypy shows equal words once a line."""
    seen: dict[tuple[str, str], str] = {}
    for find in finds:
        line, _, message = find.split(":", 2)
        seen.setdefault((line, message), find)
    return list(seen.values())


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if Door.TYPES in example.doors])
def test_an_example_finds_exactly_what_it_says(name: str, told: dict[str, list[str]]) -> None:
    assert of_catalogue(told.get(f"{name}.py", [])) == once_a_line(EXAMPLES[name].finds)


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if not example.finds])
def test_a_good_example_is_good_to_strict_mypy(name: str, told: dict[str, list[str]]) -> None:
    assert not told.get(f"{name}.py", [])


def test_what_is_left_to_mypy_is_an_error_of_its_own(told: dict[str, list[str]]) -> None:
    lines = [line for name, several in told.items() if name.startswith("btn305_bad") for line in several]
    assert any("max_attempt" in line and "[call-overload]" in line for line in lines)


def test_the_plugin_never_fails(told: dict[str, list[str]]) -> None:
    assert not [line for lines in told.values() for line in lines if "baton_mypy failed" in line]
