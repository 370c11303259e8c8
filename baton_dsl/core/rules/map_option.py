"""The part of BTN305 that depends on the signature: options of a map on other steps, and how maps combine."""

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic, quoted
from baton_dsl.core.rules.rule import Example, Finder
from baton_dsl.core.spec import UNKNOWN, Form, ParameterSpec, Role, StepSpec

finding = Finder("BTN305", "baton-option")

MAP_OPTIONS: Final = ("combine", "max_concurrency", "max_items", "min_success")
"""The options of a step with an `Each` parameter."""
OF_EVERY_FAN_OUT: Final = ("max_concurrency", "min_success")
"""The options that a step of several models may have too."""
WAYS: Final = ("product", "zip")
"""The ways to combine several `Each` parameters."""


def of_map(step: StepSpec) -> Iterator[Diagnostic]:
    """The findings for options of a step that do not fit its `Each` parameters.

    There is none where the role of a parameter is unknown, or where `combine` is not a literal.
    """
    if (step.is_open and not step.parameters) or any(
        parameter.role is Role.UNKNOWN and parameter.form is Form.KEYWORD for parameter in step.parameters
    ):
        return
    mapped = [parameter for parameter in step.parameters if parameter.each]
    if not mapped:
        yield from _of_no_map(step)
    elif step.is_per_model is not False:
        return  # BTN312
    elif "combine" not in step.options:
        if len(mapped) > 1:
            yield _uncombined(step, mapped)
    elif step.options["combine"].value in WAYS:
        yield from _combined(step, mapped)


def _of_no_map(step: StepSpec) -> Iterator[Diagnostic]:
    for name in MAP_OPTIONS:
        if name in OF_EVERY_FAN_OUT and step.is_per_model is not False:
            continue
        if name in step.options and not (name == "combine" and step.options[name].value is UNKNOWN):
            yield finding(
                f'option "{name}" of step "{step.name}" needs an Each parameter: the step runs once',
                help="drop the option; or map the step: Each[...]",
                step=step.name,
                place=step.options[name].place,
            )


def _uncombined(step: StepSpec, mapped: list[ParameterSpec]) -> Diagnostic:
    return finding(
        f'step "{step.name}" maps over {quoted(parameter.name for parameter in mapped)}, but lacks the option combine',
        help='say it: combine="product" runs it for each combination, combine="zip" for each position',
        step=step.name,
        parameter=mapped[1].name,
        place=mapped[1].place,
    )


def _combined(step: StepSpec, mapped: list[ParameterSpec]) -> Iterator[Diagnostic]:
    option = step.options["combine"]
    if len(mapped) == 1:
        yield finding(
            f'option "combine" of step "{step.name}" needs two Each parameters or more, it has only "{mapped[0].name}"',
            help="drop the option",
            step=step.name,
            place=option.place,
        )
        return
    deepest = max(mapped, key=lambda parameter: parameter.each)
    if option.value == "product" and deepest.each > 1:
        yield finding(
            f'option "combine" of step "{step.name}" is "product", which takes one level of each parameter, but '
            f'"{deepest.name}" has {deepest.each}',
            help="let a step before it make one list",
            step=step.name,
            place=option.place,
        )
    flattest = min(mapped, key=lambda parameter: parameter.each)
    if option.value == "zip" and flattest.each != deepest.each:
        yield finding(
            f'option "combine" of step "{step.name}" is "zip", which takes the same levels of each parameter, but '
            f'"{deepest.name}" has {deepest.each} and "{flattest.name}" has {flattest.each}',
            help="give them the same number of Each",
            step=step.name,
            place=option.place,
        )


BAD: Final = (
    Example(
        """\
from baton_dsl import Each, Flow, Input, step

@step
def orders(region: Each[Input[str]], product: Each[Input[str]]) -> str:
    return region + product

@step(combine="product", max_concurrency=10)
def invoices(region: Each[Input[str]]) -> str:
    return region

@step(max_items=10)
def report(invoices: list[str]) -> str:
    return str(invoices)

shop = Flow("shop", orders, invoices, report)
""",
        (
            '4:38: BTN305: step "orders" maps over "region", "product", but lacks the option combine',
            '7:7: BTN305: option "combine" of step "invoices" needs two Each parameters or more, it has only "region"',
            '11:7: BTN305: option "max_items" of step "report" needs an Each parameter: the step runs once',
        ),
    ),
    Example(
        """\
from baton_dsl import Each, Flow, step

@step
def rows() -> list[list[int]]:
    return [[1], [2, 3]]

@step
def names() -> list[str]:
    return ["one", "two"]

@step(combine="product")
def all_of(names: Each[str], rows: Each[Each[int]]) -> str:
    return names * rows

@step(combine="zip")
def pairs(names: Each[str], rows: Each[Each[int]]) -> str:
    return names * rows

table = Flow("table", rows, names, all_of, pairs)
""",
        (
            (
                '11:7: BTN305: option "combine" of step "all_of" is "product", which takes one level of each '
                'parameter, but "rows" has 2'
            ),
            (
                '15:7: BTN305: option "combine" of step "pairs" is "zip", which takes the same levels of each '
                'parameter, but "rows" has 2 and "names" has 1'
            ),
        ),
    ),
    Example(
        """\
from baton_dsl import Each, Flow, Input, step

@step(
    max_concurrency=0,
    min_success=1.5,
)
def invoices(region: Each[Input[str]]) -> str:
    return region

shop = Flow("shop", invoices)
""",
        (
            (
                '4:5: BTN305: option "max_concurrency" of step "invoices" must be a whole number '
                "from 1 to 2147483647, got 0"
            ),
            (
                '5:5: BTN305: option "min_success" of step "invoices" must be a whole number from 1, or a share '
                "above 0.0 and up to 1.0, got 1.5"
            ),
        ),
    ),
)

GOOD: Final = (
    Example(
        """\
from baton_dsl import Each, Flow, Input, step

MOST = 1_000

@step
def rows() -> list[list[int]]:
    return [[1], [2, 3]]

@step(combine="product", max_items=MOST, max_concurrency=10, min_success=0.9)
def orders(region: Each[Input[str]], product: Each[Input[str]]) -> str:
    return region + product

@step(combine="zip", min_success=3)
def pairs(weight: Each[Each[Input[float]]], rows: Each[Each[int]]) -> float:
    return weight * rows

@step(max_items=2**20)
def doubled(rows: Each[Each[int]]) -> int:
    return 2 * rows

shop = Flow("shop", rows, orders, pairs, doubled)
"""
    ),
)
