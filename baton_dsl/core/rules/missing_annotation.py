"""BTN204: a step without annotations, or with some that can't be evaluated, so its edges can't be checked."""

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule, once
from baton_dsl.core.spec import MISSING, Form, ParameterSpec, StepSpec, Types

finding = Finder("BTN204", "baton-missing-annotation")

ENDLESS: Final = "maximum recursion depth exceeded"
"""What Python says of a recursive alias by assignment where pydantic follows it: in the arguments of a model."""

_REMEDY: Final = "import the name at run time, not only under TYPE_CHECKING: results and inputs are validated with it"


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each annotation of a step that is missing, or that can't be evaluated."""
    types = context.types
    incomplete = once(types.unevaluable)
    for step in context.flow.steps:
        if step.is_job:
            continue
        is_whole = step.unevaluable is None
        for parameter in step.parameters:
            if parameter.unevaluable is not None:
                is_whole = False
            if parameter.type is MISSING:
                if parameter.form in (Form.KEYWORD, Form.POSITIONAL_ONLY):
                    yield _no_annotation(step, parameter)
            elif found := incomplete(parameter.type):
                yield _incomplete(step, types, parameter, *found)
        if step.result is MISSING:
            yield finding(
                f'step "{step.name}" has no return annotation, so what it gives can\'t be checked',
                help="write -> None if it returns nothing",
                step=step.name,
                place=step.place,
            )
        elif found := incomplete(step.result):
            yield _incomplete(step, types, None, *found)
        if not is_whole:
            yield from unevaluable(step)


def _no_annotation(step: StepSpec, parameter: ParameterSpec) -> Diagnostic:
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" has no annotation, so what it gets can\'t be checked',
        help="write the type that it expects",
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


def unevaluable(step: StepSpec) -> Iterator[Diagnostic]:
    """A finding for each annotation of a step that can't be evaluated at run time."""
    for parameter in step.parameters:
        if parameter.unevaluable is not None:
            yield finding(
                f'the annotation of parameter "{parameter.name}" of step "{step.name}" can\'t be evaluated: '
                f"{parameter.unevaluable}",
                help=_REMEDY,
                step=step.name,
                parameter=parameter.name,
                place=parameter.place,
            )
    if step.unevaluable is not None:
        yield finding(
            f'the return annotation of step "{step.name}" can\'t be evaluated: {step.unevaluable}',
            help=_REMEDY,
            step=step.name,
            place=step.return_place or step.place,
        )


def _incomplete(step: StepSpec, types: Types, parameter: ParameterSpec | None, cls: str, reason: str) -> Diagnostic:
    """The finding for a type of a step with a class in it whose own annotations can't be evaluated."""
    rest = f"but a field of {cls} can't be evaluated: {reason}"
    if parameter is None:
        return finding(
            f'step "{step.name}" returns {types.show(step.result)}, {rest}',
            help=_REMEDY,
            step=step.name,
            place=step.return_place or step.place,
        )
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" is {types.show(parameter.type)}, {rest}',
        help=_REMEDY,
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a step without return or parameter annotation, or with one that can't be evaluated",
    why=(
        "Results are stored, validated and passed on by their annotations, and the analyzer checks edges with them. "
        "Without one, nothing can be checked or stored. A name that is imported only under TYPE_CHECKING is missing "
        "when the annotation is evaluated, so nothing could be stored."
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
    is_about_a_step=True,
)
