"""BTN903: what the analyzer left alone, and why."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule
from baton_dsl.core.spec import Place

finding = Finder("BTN903", "baton-open-flow")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each reason why a flow can't be seen whole."""
    for reason in context.flow.open_because:
        yield finding(
            f'flow "{context.flow.name}" is open: {reason.name}',
            help="rules that need every step of the flow stay silent; the rest of it is checked",
            place=reason.place or context.flow.place,
        )


def unresolved(step: str, what: str, reason: str, place: Place) -> Diagnostic:
    """The finding for an annotation that can't be resolved.

    Args:
        step: The step.
        what: What it is the annotation of.
        reason: Why it can't be resolved.
        place: Where it stands.
    """
    return finding(
        f'the annotation of {what} of step "{step}" can\'t be resolved: {reason}',
        help="what depends on that type is not checked; a type checker may know it",
        step=step,
        place=place,
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a flow that can't be seen whole, or an annotation that can't be resolved (only with `--strict`)",
    why=(
        "Unknown is silence: a list built in a loop or an import that isn't there may bring any step, so a name that "
        "seems to be missing may exist. An annotation that can't be resolved may be any type. `--strict` says where "
        "that is so."
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
        Example(
            """\
import sys

from baton_dsl import Flow, step

if sys.platform == "win32":
    Price = float
else:
    Price = int

@step
def price() -> Price:
    return 1

shop = Flow("shop", price)
""",
            (
                (
                    '11:16: BTN903: the annotation of the result of step "price" can\'t be resolved: '
                    '"Price" is set more than once'
                ),
            ),
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
