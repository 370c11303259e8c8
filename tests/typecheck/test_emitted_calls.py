"""Flows as plain calls, and what a checker's errors in them become."""

from __future__ import annotations

from pathlib import Path

import pytest
from baton_lint.proof.checkers import CheckerError, prove
from baton_lint.proof.emit import emit

from baton_dsl.core.spec import FlowSpec, Form, Ignores, ParameterSpec, Place, Role, StepSpec

APP = """\
from baton_dsl import Each, Input, Skip, StepContext, step


@step
async def price(region: Input[str]) -> int | None | Skip:
    return None


@step
def rates() -> dict[str, list[float]]:
    return {}


class Billing:
    @staticmethod
    @step
    def parts(price: int | None, context: StepContext, rates: Each[tuple[str, list[float]]]) -> bool:
        return True


@step
def total(price: int | None, parts: list[bool], /, missing: str, *rest: int) -> int:
    return 1
"""


def upstream(name: str, line: int, **facts: object) -> ParameterSpec:
    place = Place("app.py", line, 5)
    return ParameterSpec(**{"name": name, "role": Role.UPSTREAM, "source": name, "place": place, **facts})  # type: ignore[arg-type]


PRICE = StepSpec(name="price", may_skip=True, parameters=(ParameterSpec(name="region", role=Role.INPUT),))
RATES = StepSpec(name="rates")
PARTS = StepSpec(
    name="parts",
    parameters=(
        upstream("price", 12),
        ParameterSpec(name="context", role=Role.INJECTED),
        upstream("rates", 12, each=1),
    ),
    ignores=Ignores(discarded=True),
)
TOTAL = StepSpec(
    name="total",
    parameters=(
        upstream("price", 17, form=Form.POSITIONAL_ONLY),
        upstream("parts", 17, form=Form.POSITIONAL_ONLY),
        upstream("missing", 17),
        ParameterSpec(name="rest", role=Role.UNKNOWN, form=Form.STAR_ARGS),
    ),
    ignores=Ignores(cancelled=True),
)
SHOP = FlowSpec(name="shop", steps=(TOTAL, PARTS, PRICE, RATES))
PLACES = {
    "price": "shop_app:price",
    "rates": "shop_app:rates",
    "parts": "shop_app:Billing.parts",
    "total": "shop_app:total",
}

EMITTED = """\
def baton_edges_1() -> object:
    # step 'total' of flow 'shop'
    baton_result_for_price = From(shop_app.price)
    assert not isinstance(baton_result_for_price, Skip)
    baton_parts = baton_list_of(From(shop_app.Billing.parts))
    return shop_app.total(
        baton_result_for_price,
        baton_parts,
        missing=baton_given,
    )


def baton_edges_2() -> object:
    # step 'total' of flow 'shop'
    baton_parts = baton_list_of(baton_optional(From(shop_app.Billing.parts)))
    return shop_app.total(
        None,
        baton_parts,
        missing=baton_given,
    )


def baton_edges_3() -> object:
    # step 'parts' of flow 'shop'
    baton_result_for_price = From(shop_app.price)
    assert not isinstance(baton_result_for_price, Skip)
    baton_item_1_of_rates = baton_one_of(baton_items_of(From(shop_app.rates)))
    return shop_app.Billing.parts(
        price=baton_result_for_price,
        context=baton_given,
        rates=baton_item_1_of_rates,
    )


def baton_edges_4() -> object:
    # step 'parts' of flow 'shop'
    return shop_app.Billing.parts(
        price=None,
        context=baton_given,
        rates=baton_given,
    )
"""


def test_each_edge_is_an_argument_on_a_line_of_its_own() -> None:
    emitted = emit([(SHOP, PLACES)])
    assert emitted.text.endswith(f"\n\n{EMITTED}")
    assert emitted.edges == 7
    assert [
        (emitted.text.splitlines()[line - 1].strip(), claim.step.name, claim.upstream.name, claim.is_absent)
        for line, claim in emitted.claims.items()
    ] == [
        ("baton_result_for_price,", "total", "price", False),
        ("baton_parts,", "total", "parts", False),
        ("None,", "total", "price", True),
        ("baton_parts,", "total", "parts", True),
        (
            "baton_item_1_of_rates = baton_one_of(baton_items_of(From(shop_app.rates)))",
            *("parts", "rates", False),
        ),
        ("price=baton_result_for_price,", "parts", "price", False),
        ("rates=baton_item_1_of_rates,", "parts", "rates", False),
        ("price=None,", "parts", "price", True),
    ]


def test_a_flow_without_maps_needs_no_functions_for_them() -> None:
    text = emit([(FlowSpec(name="shop", steps=(PRICE, TOTAL)), {"price": "shop_app:price", "total": "shop_app:total"})])
    assert "baton_list_of" not in text.text
    assert "        baton_result_for_price,\n" in text.text


def test_a_step_that_can_not_be_imported_is_left_out() -> None:
    emitted = emit([(SHOP, {"total": "shop_app:total"})])
    assert "shop_app" in emitted.text
    assert not emitted.claims


@pytest.mark.parametrize("checker", [pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty")])
def test_an_error_in_a_call_is_a_finding_at_the_parameter(checker: str, tmp_path: Path) -> None:
    (tmp_path / "shop_app.py").write_text(
        APP.replace(
            "async def price(region: Input[str]) -> int | None | Skip",
            "async def price(region: Input[str]) -> str | Skip",
        )
        .replace("parts(price: int | None", "parts(price: str")
        .replace("-> dict[str, list[float]]", "-> str")
        .replace("list[bool]", "list[int]"),
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
            "app.py:17:5",
            'BTN202: parameter "parts" of step "total" does not accept None, but items of "parts" may be absent',
        ),
        (
            "app.py:12:5",
            (
                'BTN205: parameter "rates" of step "parts" takes each item, but what upstream "rates" gives is no '
                "collection, or not that deep"
            ),
        ),
        (
            "app.py:12:5",
            'BTN202: parameter "price" of step "parts" does not accept None, but "price" may be absent',
        ),
    ]
    assert all(note.message.startswith(f"{checker}: ") for finding in proof.findings for note in finding.notes)


def test_an_unknown_or_missing_checker_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckerError, match='"pytype" is not a known type checker; these are: mypy, pyright, ty'):
        prove([], "pytype")
    (tmp_path / "ty").write_text("#!/bin/sh\necho broken >&2\nexit 2\n", encoding="utf-8")
    (tmp_path / "ty").chmod(0o755)
    with pytest.raises(CheckerError, match="ty gave no answer: broken"):
        prove([], "ty", python=tmp_path / "python")
