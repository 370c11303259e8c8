"""`baton-lint types` and `baton-lint emit` on a project of several folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.support import run, write

FILES = {
    "pyproject.toml": "[tool.baton]\nsrc = ['services']\n",
    # a package that gives a flow by the name of the module which makes it
    "src/app/__init__.py": "from .shop import shop\n",
    "src/app/models.py": """\
from typing import Protocol

class Named(Protocol):
    @property
    def name(self) -> str: ...

class Anonymous: ...
""",
    "src/app/shop.py": """\
from functools import cache
from baton_dsl import Flow, Input, step
from .models import Anonymous, Named

@step
async def price(region: Input[str]) -> int | None:
    return len(region)

@step
def anonymous(price: int) -> Anonymous:  # baton: ignore[BTN201]
    return Anonymous()

class Billing:
    @staticmethod
    @step(ignore_cancelled=True)
    def charge(price: int | None, anonymous: Named) -> int:
        return 1

@cache
@step
def cached(price: bytes) -> int:
    return 1

shop = Flow("shop", price, anonymous, Billing.charge.named("charged"), cached)
""",
    # folders without __init__.py: one that imports start from the root, one whose files import their neighbours
    "jobs/steps.py": "from baton_dsl import step\n\n@step\ndef numbers() -> list[int]:\n    return []\n",
    "jobs/flows.py": """\
from app.shop import price
from baton_dsl import Each, Flow, step
from jobs.steps import numbers

@step
def half(numbers: Each[int]) -> float:
    return numbers / 2

@step
def total(half: list[int], price: int | None) -> float:
    return sum(half)

nightly = Flow("nightly", numbers, half, total, price)
""",
    "services/tax/rates.py": "from baton_dsl import step\n\n@step\ndef rate() -> float:\n    return 0.2\n",
    "services/tax/flows.py": """\
from baton_dsl import Flow, step
from rates import rate

@step
def tax(rate: str) -> str:
    return rate

taxes = Flow("taxes", rate, tax)
""",
}
FOUND = """\
jobs/flows.py:10:11: BTN201: parameter "half" of step "total" is list[int], but upstream "half" gives list[float]
services/tax/flows.py:5:9: BTN201: parameter "rate" of step "tax" is str, but upstream "rate" gives float
src/app/shop.py:16:35: BTN201: parameter "anonymous" of step "charged" is Named, \
but upstream "anonymous" gives Anonymous
src/app/shop.py:16:35: BTN202: parameter "anonymous" of step "charged" does not accept None, \
but "anonymous" may be absent
"""
MENDED = {
    "jobs/flows.py": ("half: list[int]", "half: list[float]"),
    "services/tax/flows.py": ("rate: str", "rate: float"),
    "src/app/shop.py": ("anonymous: Named", "anonymous: Anonymous | None"),
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    write(folder, FILES)
    return folder


@pytest.mark.parametrize(
    "checker",
    ["mypy", *(pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty", "pyrefly"))],
)
def test_a_checker_refutes_what_is_wrong_and_nothing_once_it_is_mended(checker: str, shop: Path) -> None:
    outcome = run(shop, "types", "--checker", checker)
    assert outcome.errors == f"4 findings in 9 edges, asked of {checker}\n"
    assert outcome.output == FOUND
    assert outcome.status == 1
    assert run(shop, "types", "--checker", checker, "--select", "BTN202", "jobs").status == 0
    write(shop, {file: FILES[file].replace(*change) for file, change in MENDED.items()})
    outcome = run(shop, "types", "--checker", checker)
    assert (outcome.output, outcome.errors) == ("", f"nothing found in 9 edges, asked of {checker}\n")
    assert outcome.status == 0


def test_a_comment_for_what_only_a_checker_finds_is_not_called_unused(shop: Path) -> None:
    parameter = "price: int | None, anonymous: Named) -> int:"
    silenced = FILES["src/app/shop.py"].replace(parameter, f"{parameter}  # baton: ignore[BTN201]")
    assert silenced != FILES["src/app/shop.py"]
    write(shop, {"src/app/shop.py": silenced})
    assert run(shop, "--no-cache", "--select", "BTN901").output == ""


def test_emit_writes_a_module_of_calls(shop: Path) -> None:
    printed = run(shop, "emit")
    assert printed.status == 0
    assert printed.errors == "9 edges written\n"
    compile(printed.output, "edges.py", "exec")
    imports = [line for line in printed.lines if line.startswith("import ")]
    assert imports == [
        "import app.shop as baton_shop_1",
        "import jobs.flows as baton_flows_2",
        "import jobs.steps as baton_steps_3",
        "import rates",
        "import tax.flows as baton_flows_5",
    ]
    assert "    return baton_shop_1.Billing.charge(" in printed.lines
    assert run(shop, "emit", "--output", "../edges.py").output == ""
    assert (shop.parent / "edges.py").read_text(encoding="utf-8") == printed.output


def test_a_step_that_python_can_not_import_is_left_out(tmp_path: Path) -> None:
    flows = """\
from baton_dsl import Flow, step

@step
def one() -> int:
    return 1

def two(one: str) -> str:
    return one

def make() -> None:
    @step
    def three(one: str) -> str:
        return one
    Flow("inner", one, three)

flow = Flow("f", one, step(two), step(lambda one: one))
"""
    write(tmp_path, {"flows.py": flows, "no-module.py": flows})
    outcome = run(tmp_path, "emit")
    assert outcome.errors == "0 edges written\n"


def fake(folder: Path, name: str, text: str) -> str:
    """A program that prints, beside the path of a Python interpreter."""
    for program in (name, "python"):
        (folder / program).write_text(f"#!/bin/sh\necho '{text}'\n", encoding="utf-8")
        (folder / program).chmod(0o755)
    return str(folder / "python")


def test_what_nobody_proves_is_told_and_no_success(tmp_path: Path) -> None:
    error = '[{"check_name": "c", "description": "c: it is odd", "location": {"positions": {"begin": {"line": 1}}}}]'
    outcome = run(tmp_path, "types", "--checker", "ty", "--python", fake(tmp_path, "ty", error))
    assert outcome.status == 2
    assert outcome.errors.splitlines()[0] == "ty: it is odd"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["types"], "types needs --checker mypy, pyright, ty or pyrefly"),
        (
            ["types", "--checker", "pytype"],
            '"pytype" is not a known type checker; these are: mypy, pyright, ty, pyrefly',
        ),
        (["types", "--checker", "ty", "--python", "bin/python"], "ty is not installed: pip install ty"),
        (["types", "--checker", "mypy", "--python", "no"], "--python must be a Python interpreter, got no"),
        (["types", "--checker", "mypy", "--select", "X"], 'no rule is called "X"; baton-lint rules lists them'),
        (["emit", "--output", "no/edges.py"], "no/edges.py: can't be written: No such file or directory"),
    ],
)
def test_wrong_usage_is_two_with_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    fake(tmp_path / "bin", "other", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = run(tmp_path, *arguments)
    assert (outcome.status, outcome.output, outcome.errors) == (2, "", f"baton-lint: {message}\n")


def test_no_edge_is_claimed_of_a_step_that_no_checker_can_type(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "flows.py": """\
from baton_dsl import Each, Flow, Input, step

@step(max_attempt=3)
def make(raw: Each[Input[int]]) -> str:
    return str(raw)

@step(priority="high")
def other(make: list[str]) -> int:
    return 1

class Shop:
    @step
    def total(self, make: list[str]) -> float:
        return 1.0

@step
def use(make: Each[str], other: int, total: float) -> int:
    return other

shop = Flow("shop", make, other, Shop.total, use)
"""
        },
    )
    printed = run(tmp_path, "emit")
    assert printed.errors == "0 edges written\n"
    assert "baton_edges_1" not in printed.output
