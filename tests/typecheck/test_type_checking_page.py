"""The page on type checking shows what mypy says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from mypy_projects import Project

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "type-checking.md"
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [dedent(match["text"]) for match in BLOCK.finditer(text) if match["language"] == language]


def test_the_page_shows_what_mypy_says(project: Project) -> None:
    shop, explicit, _ = blocks("python")
    (said,) = blocks("text")
    project.write({"shop.py": shop, "explicit.py": explicit})
    assert project.check("--hide-column-numbers").splitlines() == said.splitlines()
