"""BTN205: `Each` over a result that is not a collection."""

from collections.abc import Iterator

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import ParameterSpec, StepSpec, Types

finding = Finder("BTN205", "baton-each-not-iterable")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each `Each` parameter whose upstream has no items, or fewer levels of them."""
    for step in context.flow.steps:
        for parameter in step.parameters:
            if not parameter.is_upstream or not parameter.each or parameter.source is None:
                continue
            upstream = context.graph.steps.get(parameter.source)
            if upstream is None or upstream.name == step.name:
                continue
            if upstream.is_job:
                yield _of_a_job(step, parameter, upstream)
                continue
            stuck = maps.offer(context.types, parameter, upstream)
            if isinstance(stuck, maps.Stuck):
                yield not_iterable(context.types, step, parameter, upstream, stuck)


def not_iterable(
    types: Types, step: StepSpec, parameter: ParameterSpec, upstream: StepSpec, stuck: maps.Stuck
) -> Diagnostic:
    """The finding for an `Each` that finds no collection.

    Args:
        types: What is known of the types.
        step: The step that maps.
        parameter: The parameter with `Each`.
        upstream: The step whose result is mapped over.
        stuck: The level without a collection.
    """
    found = types.show(stuck.type)
    seen = types.show(maps.result(types, upstream))
    whose = f'upstream "{upstream.name}" gives {seen}'
    if seen != found:
        whose += f", whose items are {found}"
    levels = upstream.levels + stuck.level
    if levels:
        annotation = f"{'Each[' * levels}{found}{']' * levels}"
        remedy = f"it has items on {_count(levels)} only: {parameter.name}: {annotation}"
    else:
        remedy = f'let "{upstream.name}" return a list of items; or take its result whole: {parameter.name}: {found}'
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" takes {_items(parameter)}, but {whose}: no collection',
        help=remedy,
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
        notes=_defined(upstream),
    )


def _of_a_job(step: StepSpec, parameter: ParameterSpec, upstream: StepSpec) -> Diagnostic:
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" takes {_items(parameter)}, but "{upstream.name}" is a '
        "plain job of Oban, which has no result",
        help="let a step return the items",
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


def _items(parameter: ParameterSpec) -> str:
    return "each item" if parameter.each == 1 else f"each item {parameter.each} levels deep"


def _count(levels: int) -> str:
    return "1 level" if levels == 1 else f"{levels} levels"


def _defined(upstream: StepSpec) -> tuple[Note, ...]:
    place = upstream.return_place or upstream.place
    return (Note(f'"{upstream.name}" is defined here', place),) if place else ()


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="`Each` over an upstream whose result is no collection, or over more levels than it has",
    why=(
        "A map runs its step once for each item. A string, a number, a model or None has no items in this sense: the "
        "map would fail after the upstream has done its work. A type that may also be None is not a collection either."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Each, Flow, step

@step
def region() -> str:
    return "eu"

@step
def orders(region: Each[str]) -> int:
    return len(region)

shop = Flow("shop", region, orders)
""",
            (
                (
                    '8:12: BTN205: parameter "region" of step "orders" takes each item, but upstream "region" gives '
                    "str: no collection"
                ),
            ),
        ),
        Example(
            """\
from pydantic import BaseModel

from baton_dsl import Each, Flow, step

class Page(BaseModel):
    rows: list[int]

@step
async def pages() -> list[Page]:
    return []

@step
def maybe() -> list[int] | None:
    return None

@step
def add_up(pages: Each[Each[int]]) -> int:
    return pages

@step
def double(maybe: Each[int]) -> int:
    return 2 * maybe

book = Flow("book", pages, maybe, add_up, double)
""",
            (
                (
                    '17:12: BTN205: parameter "pages" of step "add_up" takes each item 2 levels deep, but upstream '
                    '"pages" gives list[Page], whose items are Page: no collection'
                ),
                (
                    '21:12: BTN205: parameter "maybe" of step "double" takes each item, but upstream "maybe" gives '
                    "list[int] | None: no collection"
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from typing import Annotated

from baton_dsl import Each, Flow, From, Input, step

@step
def regions() -> list[str]:
    return ["eu", "us"]

@step
async def prices(regions: Each[str]) -> dict[str, list[float]]:
    return {regions: [12.5]}

@step
def rounded(prices: Each[Each[tuple[str, list[float]]]]) -> int:
    name, found = prices
    return round(sum(found))

@step
def by_region(rounded: Each[list[int]]) -> int:
    return max(rounded)

@step(combine="zip")
def named(tag: Each[Input[str]], region: Each[Annotated[str, From("regions")]]) -> str:
    return f"{tag}: {region}"

shop = Flow("shop", regions, prices, rounded, by_region, named)
"""
        ),
    ),
    run=run,
)
