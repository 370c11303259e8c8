"""What mutants are made of: the programs of the rules, the documentation and the examples, and odd words and bytes."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

from baton_dsl.core.rules import CATALOGUE

ROOT = Path(__file__).parents[2]

RICH = '''\
"""Flows of every kind."""
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict, TYPE_CHECKING
import time, asyncio
from pydantic import BaseModel
from baton_dsl import Each, Flow, From, Input, Outcome, Skip, StepContext, step
from .other import *
from steps import orders as other_orders, flow as other_flow
if TYPE_CHECKING:
    from decimal import Decimal

type Pair[T] = tuple[T, T]

class Order[T](BaseModel):
    id: int
    rows: list[T] = []

class Row(TypedDict, total=False):
    name: NotRequired[str]

@step(queue="auth", max_attempts=5, after=("cleanup",))
async def token(api_key: Input[str], ctx: StepContext) -> Order[int] | Skip:
    time.sleep(1)
    return Order(id=1)

@step
def regions(token: Order[int] | None, unit: Literal["a", None] = "a") -> list[str]:
    return [locals()]

@step(max_concurrency=3, min_success=0.5, combine="zip")
async def charge(regions: Each[str], total: Annotated[Pair[int], From("token")]) -> dict[str, Row]:
    def inner(regions: str = regions) -> str:
        return f"{regions!r:>{10}} {total=}"
    return {inner(): {}}

class Billing:
    @staticmethod
    @step
    def report(charge: list[Outcome[dict[str, Row]]], token, *, days: Input[int] = 3) -> None: ...

shop = Flow("shop", token, regions, charge, Billing.report.bind(days=4), ignore_cancelled=True)
shop = shop.add("extra", lambda: 1, deps=["token", f"x{1}"]).options(workflow_name="x").bind(api_key=1)
STEPS = [token, *[regions for _ in range(3)]]
for name in ("a", "b"):
    STEPS.append(charge.named(name))
late = Flow("late", *STEPS, regions.named("again"), left=token)  # baton: ignore[BTN102, baton-cycle]

async def main(session) -> None:
    await shop.insert(session, api_key="x", dayz=3)
    with session as s, open("x") as f:
        late.insert(s, **{"a": 1})
    match session:
        case {"a": [*_, x], **rest} if (y := x): del y
        case Order(id=1) | None: pass
    try:
        pass
    except* (ValueError, TypeError) as group:
        raise group
'''

CONFIGURATIONS = (
    (
        '[tool.baton]\nselect = ["BTN1", "BTN2", "BTN3"]\nextend-select = ["BTN104"]\nignore = ["BTN302"]\n'
        'exclude = ["legacy/*"]\nsrc = ["lib"]\nstrict = true\n[tool.baton.per-file-ignores]\n"tests/*" = ["BTN204"]\n'
    ),
    '[project]\nname = "x"\ndependencies = ["baton-dsl"]\n[tool.baton]\nselect = ["ALL"]\n',
    "[tool]\nbaton = 1979-05-27T07:32:00Z\n",
    'tool.baton.per-file-ignores."*.py" = ["baton-cycle"]\n',
)

_WORDS = """\
step Flow Input From Each Outcome Skip StepContext baton_dsl named bind add options insert deps after def
class async await lambda if elif else for while with try except finally return yield global nonlocal del match
case import from as in is not and or None True ... * ** @ : , ( ) [ ] { } . = == := -> | + - ~ ! ? % ; ' "
\''' \\ # f' rb" 0 1e999 0x 1_0 0777 1j 'token' "shop" BTN102 self cls locals int str list[int] dict[str, type
T[*Ts, **P] __all__ __future__ annotations TYPE_CHECKING
"""
TOKENS = (
    *_WORDS.split(),
    *(
        " ",
        "\n",
        "\t",
        "\n\n",
        "\n    ",
        "\r",
        "\r\n",
        "\x0c",
        "\x00",
        "\ufeff",
        "\u2028",
        "\u202e",
        "é",
        "ﬁ",
        "\U0001d431",
    ),
    *("\\N{DIGIT ONE}", "\\ud800", "# baton: ignore[BTN101]", "# type: ignore", "from x import *\n", "@step\n", '"""'),
    *(
        f"# coding: {name}\n"
        for name in ("latin-1", "utf-7", "punycode", "unicode_escape", "idna", "raw_unicode_escape")
    ),
    "9" * 5_000,
    "x" * 5_000,
)

BYTES = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xf4\x90\x80\x80",
    b"\r",
    b"\x1a",
    b"\x1b[31m",
    b"\xc0\x80",
)


@functools.cache
def programs() -> tuple[str, ...]:
    """Every program that speaks of us."""
    found = [RICH]
    found += [example.source for rule in CATALOGUE.values() for example in (*rule.bad, *rule.good)]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        found += re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").rglob("*.py"))]
    return tuple(dict.fromkeys(text for text in found if "baton_dsl" in text))


def as_notebook(text: str) -> str:
    """A program as a notebook, a cell for each paragraph."""
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": part.splitlines(keepends=True)}
        for part in ("%matplotlib inline\n!ls", *text.split("\n\n"), "%%time\nx = 1", "shop?")
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)
