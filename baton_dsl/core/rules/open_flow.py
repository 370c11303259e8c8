"""BTN903: flows that the analyzer can't see whole, and why."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN903", "baton-open-flow")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each reason why a flow can't be seen whole."""
    for reason in context.flow.open_because:
        yield finding(
            f'flow "{context.flow.name}" is open: {reason.name}',
            help="rules that need every step of the flow stay silent; the rest of it is checked",
            place=reason.place or context.flow.place,
        )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a flow that can't be seen whole (only with `--strict`)",
    why=(
        "A list built in a loop, or a missing import, may add any step to a flow. So a name that seems to be missing "
        "may exist, and rules stay silent. `--strict` reports where that is the case."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

steps = []
for number in range(3):
    steps.append(orders.named(f"orders_{number}"))

shop = Flow("shop", orders, *steps)
""",
            ('11:29: BTN903: flow "shop" is open: the items of "steps" may change at run time',),
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

COMMON = (orders,)
REPORTS = [report]

shop = Flow("shop", *COMMON, *REPORTS)
"""
        ),
    ),
    run=run,
    doors=frozenset({Door.TEXT}),
    by_default=False,
)
