"""BTN301: parameters that can't be passed by name."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import Form

finding = Finder("BTN301", "baton-star-args")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each `*args`, `**kwargs` and positional-only parameter."""
    for step in context.flow.steps:
        for parameter in step.parameters:
            match parameter.form:
                case Form.STAR_ARGS:
                    what = f'takes "*{parameter.name}"'
                case Form.STAR_KWARGS:
                    what = f'takes "**{parameter.name}"'
                case Form.POSITIONAL_ONLY:
                    what = f'takes "{parameter.name}" by position only'
                case Form.KEYWORD:
                    continue
            yield finding(
                f'step "{step.name}" {what}, but a step gets its arguments by name',
                help="name each parameter; the results of dynamic upstreams are in StepContext.upstream",
                step=step.name,
                parameter=parameter.name,
                place=parameter.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="`*args`, `**kwargs` or positional-only parameters in a step",
    why="Parameter names are the edges of the graph. A parameter that can't be passed by name can't be an edge.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders(*regions: str, **filters: str) -> int:
    return len(regions)

@step
def report(orders: int, /) -> int:
    return orders

shop = Flow("shop", orders, report)
""",
            (
                '4:13: BTN301: step "orders" takes "*regions", but a step gets its arguments by name',
                '4:29: BTN301: step "orders" takes "**filters", but a step gets its arguments by name',
                '8:12: BTN301: step "report" takes "orders" by position only, but a step gets its arguments by name',
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, Input, StepContext, step

@step
def orders(*, regions: Input[list[str]]) -> int:
    return len(regions)

@step
def report(context: StepContext) -> int:
    return len(context.upstream)

shop = Flow("shop").add("orders", orders).add("report", report, deps=["orders"])
"""
        ),
    ),
    run=run,
    is_about_a_step=True,
)
