"""BTN201: an upstream's result does not fit the parameter that takes it."""

from collections.abc import Iterator

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN, Absent, ParameterSpec, StepSpec, Types

finding = Finder("BTN201", "baton-upstream-type")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each edge whose types do not fit. There is none if a type is unknown or missing."""
    types = context.types
    verdicts: dict[tuple[int, int], bool | None] = {}  # many edges are between the same two types
    for step in context.flow.steps:
        for parameter in step.parameters:
            if not parameter.is_upstream or parameter.source is None:
                continue
            upstream = context.graph.steps.get(parameter.source)
            if upstream is None or upstream.name == step.name:
                continue
            if isinstance(parameter.type, Absent) or isinstance(upstream.result, Absent):
                continue
            if not parameter.each and upstream.name not in context.graph.mapped:  # nearly every edge
                pair = (id(upstream.result), id(parameter.type))
                if pair not in verdicts:
                    verdicts[pair] = types.assignable(upstream.result, parameter.type)
                if verdicts[pair] is False:
                    yield mismatch(types, step, parameter, upstream, upstream.result)
                continue
            given = maps.offer(types, parameter, upstream)
            if given in (MISSING, UNKNOWN) or isinstance(given, maps.Stuck):
                continue
            if not maps.forms(types, parameter, upstream):
                yield mismatch(types, step, parameter, upstream, given)


def mismatch(types: Types, step: StepSpec, parameter: ParameterSpec, upstream: StepSpec, given: object) -> Diagnostic:
    """The finding for an edge whose types don't fit.

    Args:
        types: What is known of the types.
        step: The step that takes the result.
        parameter: The parameter that takes it.
        upstream: The step whose result it is.
        given: The type of the result as the parameter sees it: with `Each`, the type of one item.
    """
    shown, taken = types.apart(given, parameter.type)
    annotation = maps.around(parameter, shown)
    edge = maps.Edge.of(parameter, upstream)
    if edge.is_by_model:
        remedy = f'"{upstream.name}" runs once for each model, so its result is a dict: {parameter.name}: {annotation}'
    elif edge.lists:
        remedy = f'"{upstream.name}" runs once for each item, so it is seen as a list: {parameter.name}: {annotation}'
    else:
        remedy = f"annotate the parameter as {annotation}, or change what the upstream returns"
    place = upstream.return_place or upstream.place
    clash = f'is {taken}, but upstream "{upstream.name}" gives {shown}'
    if parameter.each:
        clash = f'takes each item as {taken}, but upstream "{upstream.name}" gives items of type {shown}'
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" {clash}',
        help=remedy,
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
        notes=(Note(f'"{upstream.name}" is defined here', place),) if place else (),
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an upstream's result does not fit the parameter",
    why=(
        "Results are stored as JSON and validated when they are read. A wrong type would be an error at run time, "
        "after the upstream's work was done and paid for."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
async def price() -> str:
    return "12.50"

@step
def total(price: int) -> int:
    return price

shop = Flow("shop", price, total)
""",
            ('8:11: BTN201: parameter "price" of step "total" is int, but upstream "price" gives str',),
        ),
        Example(
            """\
from typing import Annotated

from baton_dsl import Flow, From, step

@step
def total(
    prices: dict[str, float],
    discount: Annotated[float, From("find_discount")],
) -> float:
    return sum(prices.values()) * discount

@step
def find_discount() -> float | None:
    return None

@step
def prices() -> dict[str, list[float]]:
    return {}

shop = Flow("shop", total, find_discount, prices)
""",
            (
                (
                    '7:5: BTN201: parameter "prices" of step "total" is dict[str, float], '
                    'but upstream "prices" gives dict[str, list[float]]'
                ),
                (
                    '8:5: BTN201: parameter "discount" of step "total" is float, '
                    'but upstream "find_discount" gives float | None'
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from collections.abc import Sequence

from baton_dsl import Flow, step

@step
async def prices() -> list[int]:
    return [1]

@step
def count(prices: Sequence[float]) -> int:
    return len(prices)

@step
def report(prices: list[int], count: float | None) -> str:
    return f"{count} {prices}"

shop = Flow("shop", prices, report, count)
"""
        ),
    ),
    run=run,
)
