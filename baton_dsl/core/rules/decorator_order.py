"""BTN307: a decorator above `@step`."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN307", "baton-decorator-order")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each decorator that wraps a step."""
    for step in context.flow.steps:
        for decorator in step.decorators_above:
            yield finding(
                f'decorator "{decorator.name}" stands above @step, so it wraps the step and not the function',
                help=f"move @step to the top: it decorates what {decorator.name} gives",
                step=step.name,
                place=decorator.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a decorator above `@step`",
    why=(
        "A decorator above `@step` is applied to the step, not to its function. The result is no longer a step, so a "
        "flow does not accept it, and a worker would run the function without the decorator. Only `@staticmethod` may "
        "stand there."
    ),
    bad=(
        Example(
            """\
from functools import cache

from baton_dsl import Flow, step

@cache
@step
def rates() -> dict[str, float]:
    return {}

@step
def report(rates: dict[str, float]) -> int:
    return len(rates)

shop = Flow("shop", rates, report)
""",
            ('5:2: BTN307: decorator "cache" stands above @step, so it wraps the step and not the function',),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
from functools import cache

from baton_dsl import Flow, step

@step(queue="rates")
@cache
def rates() -> dict[str, float]:
    return {}

class Reports:
    @staticmethod
    @step
    def report(rates: dict[str, float]) -> int:
        return len(rates)

shop = Flow("shop", rates, Reports.report)
""",
            doors=frozenset({Door.TEXT}),
        ),
    ),
    run=run,
    is_about_a_step=True,
    doors=frozenset({Door.TEXT}),
)
