"""Flows as plain calls, and what a checker's errors in them become."""

from __future__ import annotations

from pathlib import Path

import pytest
from baton_lint.checkers import CheckerError, prove
from baton_lint.emit import emit

from baton_dsl.core.spec import FlowSpec, Form, ParameterSpec, Place, Role, StepSpec

APP = """\
from baton_dsl import Input, StepContext, step


@step
async def price(region: Input[str]) -> int | None:
    return None


class Billing:
    @staticmethod
    @step
    def parts(price: int | None, context: StepContext, each: int) -> bool:
        return True


@step
def total(price: int | None, parts: list[int], /, missing: str, *rest: int) -> int:
    return 1
"""


def upstream(name: str, line: int, **facts: object) -> ParameterSpec:
    place = Place("app.py", line, 5)
    return ParameterSpec(**{"name": name, "role": Role.UPSTREAM, "source": name, "place": place, **facts})  # type: ignore[arg-type]


PRICE = StepSpec(name="price", parameters=(ParameterSpec(name="region", role=Role.INPUT),))
PARTS = StepSpec(
    name="parts",
    parameters=(
        upstream("price", 12),
        ParameterSpec(name="context", role=Role.INJECTED),
        upstream("each", 0, each=True),  # as if it ran once for each item
    ),
    ignore_discarded=True,
)
TOTAL = StepSpec(
    name="total",
    parameters=(
        upstream("price", 17, form=Form.POSITIONAL_ONLY),
        upstream("parts", 17, form=Form.POSITIONAL_ONLY),
        upstream("missing", 17),
        ParameterSpec(name="rest", role=Role.UNKNOWN, form=Form.STAR_ARGS),
    ),
    ignore_cancelled=True,
)
SHOP = FlowSpec(name="shop", steps=(TOTAL, PARTS, PRICE))
PLACES = {"price": "shop_app:price", "parts": "shop_app:Billing.parts", "total": "shop_app:total"}

EMITTED = '''\
"""The edges of a project's flows as calls, written by baton-lint for a type checker. Not to be run."""

from typing import Any

from baton_dsl import From, Step
import shop_app

baton_given: Any = None


def baton_list_of[R](step: Step[..., R, Any, Any], /) -> list[R]:
    return [From(step)]


def baton_edges_1() -> object:
    # step 'total' of flow 'shop'
    baton_parts = baton_list_of(shop_app.Billing.parts)
    return shop_app.total(
        From(shop_app.price),
        baton_parts,
        missing=baton_given,
    )
'''


def test_each_edge_is_an_argument_on_a_line_of_its_own() -> None:
    emitted = emit([(SHOP, PLACES)])
    assert emitted.text.startswith(EMITTED)
    assert [
        (emitted.text.splitlines()[line - 1].strip(), claim.step.name, claim.upstream.name, claim.is_absent)
        for line, claim in emitted.claims.items()
    ] == [
        ("From(shop_app.price),", "total", "price", False),
        ("baton_parts,", "total", "parts", False),
        ("None,", "total", "price", True),
        ("price=From(shop_app.price),", "parts", "price", False),
        ("price=None,", "parts", "price", True),
    ]


def test_a_step_that_can_not_be_imported_is_left_out() -> None:
    emitted = emit([(SHOP, {"total": "shop_app:total"})])
    assert "shop_app" in emitted.text
    assert not emitted.claims


@pytest.mark.parametrize("checker", [pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty")])
def test_an_error_in_a_call_is_a_finding_at_the_parameter(checker: str, tmp_path: Path) -> None:
    (tmp_path / "shop_app.py").write_text(
        APP.replace(
            "async def price(region: Input[str]) -> int | None", "async def price(region: Input[str]) -> str"
        ).replace("parts(price: int | None", "parts(price: str"),
        encoding="utf-8",
    )
    proof = prove([(SHOP, PLACES)], checker, roots=[tmp_path])
    assert [(str(finding.place), finding.headline) for finding in proof.findings] == [
        (
            "app.py:17:5",
            'BTN201: parameter "price" of step "total" does not accept what upstream "price" gives',
        ),
        (
            "app.py:17:5",
            'BTN201: parameter "parts" of step "total" does not accept what upstream "parts" gives',
        ),
        (
            "app.py:12:5",
            'BTN202: parameter "price" of step "parts" does not accept None, but "price" may be absent',
        ),
    ]
    assert all(note.message.startswith(f"{checker}: ") for finding in proof.findings for note in finding.notes)


def test_an_unknown_or_missing_checker_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckerError, match='"pytype" is no type checker that is known here: mypy, pyright, ty'):
        prove([], "pytype")
    (tmp_path / "ty").write_text("#!/bin/sh\necho broken >&2\nexit 2\n", encoding="utf-8")
    (tmp_path / "ty").chmod(0o755)
    with pytest.raises(CheckerError, match="ty gave no answer: broken"):
        prove([], "ty", python=tmp_path / "python")
