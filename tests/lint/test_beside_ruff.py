"""Ruff's rules for imports of annotations, with and without the setting that our page shows."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "lint.md"
FLOW = """\
from __future__ import annotations

from decimal import Decimal

from baton_dsl import Flow, step


@step
def price() -> Decimal:
    return 1


@step(queue="money")
def total(price: Decimal) -> int:
    return 2


shop = Flow("shop", price, total)
"""


def moved(folder: Path, settings: dict[str, list[str]]) -> list[str]:
    """The imports that ruff wants under `TYPE_CHECKING`."""
    options = [
        option
        for name, values in settings.items()
        for option in ("--config", f"lint.flake8-type-checking.{name}={json.dumps(values)}")
    ]
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "TC",
        "--output-format",
        "json",
        *options,
    ]
    run = subprocess.run([*command, "flows.py"], cwd=folder, capture_output=True, text=True, check=False)
    return [finding["code"] for finding in json.loads(run.stdout)]


@pytest.mark.parametrize("is_set", [True, False])
def test_the_setting_of_the_page_keeps_ruff_from_moving_what_steps_need(is_set: bool, tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOW)
    block = re.search(r"```toml\n(\[tool\.ruff.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    settings = tomllib.loads(block[1])["tool"]["ruff"]["lint"]["flake8-type-checking"]
    assert moved(tmp_path, settings if is_set else {}) == ([] if is_set else ["TC003"])
