"""BTN106: two flows of one program share a name, or two step functions share a module and a name."""

from collections.abc import Iterable, Iterator

from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules.rule import Door, Example, Finder, Rule
from baton_dsl.core.spec import FlowSpec, Place

finding = Finder("BTN106", "baton-duplicate-flow")


def same_name(flows: Iterable[FlowSpec]) -> Iterator[Diagnostic]:
    """A finding for each flow after the first of its name, given the flows of one program."""
    first: dict[str, FlowSpec] = {}
    for flow in flows:
        if flow.name not in first:
            first[flow.name] = flow
            continue
        place = first[flow.name].place
        yield finding(
            f'a flow called "{flow.name}" is in this program already',
            help="give one of them a name of its own: it is what workflows are found by",
            flow=flow.name,
            place=flow.place,
            notes=(Note(f'"{flow.name}" stands here first', place),) if place else (),
        )


def same_function(name: str, place: Place, first: Place) -> Diagnostic:
    """The finding for a step whose function hides an earlier one of the same module and name."""
    return finding(
        f'step "{name}" hides another step function called "{name}" in the same module',
        help="rename one of the functions: a job names its function by module and name, and would run the later one",
        step=name,
        place=place,
        notes=(Note(f'"{name}" is defined here first', first),),
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="two flows of one program share a name; two functions would register one persisted step",
    why=(
        "Workflows are found by the name of their flow, and a job names its function by module and name. Two with the "
        "same name can't be told apart in the database, and after the next deployment the wrong one runs."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

shop = Flow("shop", orders)
nightly = Flow("shop", orders.named("all_orders"))
""",
            ('8:16: BTN106: a flow called "shop" is in this program already',),
            frozenset({Door.TEXT}),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

morning = Flow("morning", orders)

@step
def orders() -> int:
    return 2

evening = Flow("evening", orders)
""",
            ('10:5: BTN106: step "orders" hides another step function called "orders" in the same module',),
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

class Nightly:
    @staticmethod
    @step(name="all_orders")
    def orders() -> int:
        return 2

def build() -> Flow:
    return Flow("shop", orders)

shop = Flow("shop", orders)
nightly = Flow("nightly", Nightly.orders)
"""
        ),
    ),
    doors=frozenset({Door.TEXT}),
)
