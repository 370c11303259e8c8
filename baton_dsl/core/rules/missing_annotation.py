"""BTN204: a step without annotations, so its edges can't be checked."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, Form

finding = Finder("BTN204", "baton-missing-annotation")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for a missing return annotation, and for each parameter without one."""
    for step in context.flow.steps:
        if step.is_job:
            continue
        for parameter in step.parameters:
            if parameter.type is MISSING and parameter.form in (Form.KEYWORD, Form.POSITIONAL_ONLY):
                yield finding(
                    f'parameter "{parameter.name}" of step "{step.name}" has no annotation, '
                    "so what it gets can't be checked",
                    help="write the type that it expects",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )
        if step.result is MISSING:
            yield finding(
                f'step "{step.name}" has no return annotation, so what it gives can\'t be checked',
                help="write -> None if it returns nothing",
                step=step.name,
                place=step.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a step without return or parameter annotation",
    why=(
        "Annotations are how results are stored, validated and given to the next step, and what the analyzer proves "
        "edges with. Without one, both must guess."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders():
    return [1]

@step
def report(orders) -> int:
    return len(orders)

billing = Flow("billing", orders, report)
""",
            (
                '4:5: BTN204: step "orders" has no return annotation, so what it gives can\'t be checked',
                (
                    '8:12: BTN204: parameter "orders" of step "report" has no annotation, '
                    "so what it gets can't be checked"
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from typing import Any

from baton_dsl import Flow, step

@step
def orders() -> list[int]:
    return [1]

@step
def report(orders: Any) -> None: ...

billing = Flow("billing", report, orders)
"""
        ),
    ),
    run=run,
)
