"""BTN304: a default that can never be used, or an input that a step hides."""

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule

finding = Finder("BTN304", "baton-shadowed-default")


MODEL: Final = "workflow_model"
"""The key of a job's args that holds the name of the step's model, among the inputs by their names."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each default on an upstream parameter, and each input named like a step or like the model."""
    for step in context.flow.steps:
        for parameter in step.parameters:
            if parameter.is_upstream and parameter.has_default:
                yield finding(
                    f'parameter "{parameter.name}" of step "{step.name}" has a default that can never be used: '
                    "its value is the upstream's result",
                    help="drop the default; or mark the parameter as an input: Input[...]",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )
            elif parameter.is_input and parameter.each and parameter.has_default:
                yield finding(
                    f'input "{parameter.name}" of step "{step.name}" has a default for one item, but insert gives '
                    "a list of them",
                    help="drop the default, and give the list at insert or with bind",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )
            elif (parameter.is_input or parameter.each) and parameter.name == MODEL:
                kind = "input" if parameter.is_input else "parameter"
                yield finding(
                    f'{kind} "{MODEL}" of step "{step.name}" has the name under which a job keeps its model',
                    help="rename it; the model that was chosen is in StepContext.model",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )
            elif parameter.is_input and parameter.name in context.graph.steps and parameter.name not in step.bound:
                yield finding(
                    f'input "{parameter.name}" of step "{step.name}" has the name of a step of the flow',
                    help="rename the input; or drop Input[...] to take the step's result",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a default on an upstream parameter; an input named like a step of the flow",
    why=(
        "A default suggests that the step can run without its upstream, which it never does. An input with the name "
        "of a step looks like an edge but is not one: the step would not wait."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def orders() -> int:
    return 1

@step
def report(orders: int = 0) -> int:
    return orders

@step
def summary(
    title: Input[str],
    orders: Input[int],
) -> str:
    return f"{title}: {orders}"

shop = Flow("shop", summary, orders, report)
""",
            (
                (
                    '8:12: BTN304: parameter "orders" of step "report" has a default that can never be used: '
                    "its value is the upstream's result"
                ),
                '14:5: BTN304: input "orders" of step "summary" has the name of a step of the flow',
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def summary(workflow_model: Input[str]) -> str:
    return workflow_model

shop = Flow("shop", summary)
""",
            ('4:13: BTN304: input "workflow_model" of step "summary" has the name under which a job keeps its model',),
        ),
        Example(
            """\
from baton_dsl import Each, Flow, Input, step

@step
def orders(region: Each[Input[str]] = "eu") -> int:
    return len(region)

shop = Flow("shop", orders)
""",
            (
                (
                    '4:12: BTN304: input "region" of step "orders" has a default for one item, '
                    "but insert gives a list of them"
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, From, Input, step

@step
def orders(limit: Input[int] = 10) -> int:
    return limit

@step
def report(count: int = From(orders), title: Input[str] = "Orders") -> str:
    return f"{title}: {count}"

shop = Flow("shop", orders, report)
"""
        ),
    ),
    run=run,
)
