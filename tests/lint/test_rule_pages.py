"""`docs/rules/` is generated from the rules."""

from pathlib import Path

from baton_lint.pages import pages

FOLDER = Path(__file__).parents[2] / "docs" / "rules"


def test_the_pages_of_the_rules_are_current() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run: python -m baton_lint.pages docs/rules"
