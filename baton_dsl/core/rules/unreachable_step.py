"""BTN104: a step that is decorated but in no flow."""

from collections.abc import Iterable, Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Door, Example, Finder, Rule
from baton_dsl.core.spec import StepSpec

finding = Finder("BTN104", "baton-unreachable-step")


def unreachable(steps: Iterable[StepSpec]) -> Iterator[Diagnostic]:
    """A finding for each of the steps, which are those that are in no flow of the program."""
    for step in steps:
        yield finding(
            f'step "{step.name}" is in no flow',
            help="add it to a flow, or drop the decorator",
            step=step.name,
            place=step.place,
        )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a step that is decorated but in no flow (off by default)",
    why=(
        "A step that is in no flow never runs. That is fine in a library of steps, so the rule must be selected. It is "
        "silent while any flow of the program is open, because that flow may contain the step."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

@step
def forgotten(orders: int) -> int:
    return orders

shop = Flow("shop", orders)
""",
            ('8:5: BTN104: step "forgotten" is in no flow',),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

@step
def report(orders: int) -> int:
    return orders

shop = Flow("shop", orders).add("summary", report)
"""
        ),
    ),
    doors=frozenset({Door.TEXT}),
    by_default=False,
)
