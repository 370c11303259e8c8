"""BTN103: two steps of one flow share a name."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import StepSpec

finding = Finder("BTN103", "baton-duplicate-step")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each step after the first of its name."""
    first: dict[str, StepSpec] = {}
    for step in context.flow.steps:
        if step.name not in first:
            first[step.name] = step
            continue
        place = first[step.name].argument_place
        yield finding(
            f'a step called "{step.name}" is in the flow already',
            help="give one of them a name of its own: "
            + (f'charge.named("{step.name}_2")' if step.is_job else f'{step.name}.named("{step.name}_2")'),
            step=step.name,
            place=step.argument_place,
            notes=(Note(f'"{step.name}" stands here first', place),) if place else (),
        )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="two steps of one flow share a name",
    why="Steps refer to each other's results by name. With two steps of one name, nobody knows which one is meant.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str]) -> int:
    return len(region)

billing = Flow("billing", charge, charge.bind(region="eu"))
""",
            ('7:35: BTN103: a step called "charge" is in the flow already',),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def charge() -> int:
    return 1

@step(name="charge")
def charge_again() -> int:
    return 2

@step
def total(charge: int) -> int:
    return charge

billing = Flow("billing", total, charge_again, charge, charge.named("charge"))
""",
            (
                '15:48: BTN103: a step called "charge" is in the flow already',
                '15:56: BTN103: a step called "charge" is in the flow already',
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str]) -> int:
    return len(region)

billing = Flow(
    "billing",
    charge.named("charge_eu").bind(region="eu"),
    charge.named("charge_us").bind(region="us"),
)
"""
        ),
    ),
    run=run,
)
