"""BTN206: one input name with two types."""

from collections.abc import Iterator

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN

finding = Finder("BTN206", "baton-input-conflict")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each input that no value of an earlier step's input of the same name can satisfy."""
    types = context.types
    for name, takers in context.flow.inputs().items():
        first_step, first = takers[0]
        for step, parameter in takers[1:]:
            taken, first_taken = maps.given(types, parameter), maps.given(types, first)
            if {MISSING, UNKNOWN} & {first_taken, taken} or first_taken == taken:
                continue
            if types.assignable(first_taken, taken) is False and types.assignable(taken, first_taken) is False:
                shown, first_shown = types.apart(taken, first_taken)
                yield finding(
                    f'input "{name}" is {shown} in step "{step.name}", but {first_shown} in step "{first_step.name}"',
                    help="one value is given to both: agree on a type, or rename one of the inputs",
                    step=step.name,
                    parameter=name,
                    place=parameter.place,
                    notes=(Note(f'"{first_step.name}" takes it here', first.place),) if first.place else (),
                )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="one input name with two types in a flow",
    why="An input is given once, by name, to every step that takes it. No value can satisfy two types that exclude "
    "each other.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def by_name(region: Input[str]) -> str:
    return region

@step
def by_number(region: Input[list[int]]) -> int:
    return region[0]

shop = Flow("shop", by_name, by_number)
""",
            ('8:15: BTN206: input "region" is list[int] in step "by_number", but str in step "by_name"',),
        ),
        Example(
            """\
from baton_dsl import Each, Flow, Input, step

@step
def by_name(regions: Each[Input[str]]) -> str:
    return regions

@step
def title(regions: Input[str]) -> str:
    return regions

shop = Flow("shop", by_name, title)
""",
            ('8:11: BTN206: input "regions" is str in step "title", but list[str] in step "by_name"',),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Each, Flow, Input, step

@step
def by_name(region: Input[str]) -> str:
    return region

@step
def listed(regions: Input[list[str]]) -> int:
    return len(regions)

@step
def one_by_one(regions: Each[Input[str]]) -> str:
    return regions

@step
def maybe(region: Input[str | None], count: Input[int] = 1) -> int:
    return count

@step
def share(count: Input[float], region: Input[list[int]]) -> float:
    return count

shop = Flow("shop", by_name, listed, one_by_one, maybe, share.bind(region=[1]))
"""
        ),
    ),
    run=run,
)
