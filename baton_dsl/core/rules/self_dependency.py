"""BTN105: a step that waits for itself."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.graph import edges_of
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule

finding = Finder("BTN105", "baton-self-dependency")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each edge from a step to itself."""
    for step in context.graph.stray:
        for edge in edges_of(step):
            if edge.upstream == step.name:
                yield finding(
                    f'step "{step.name}" waits for itself',
                    help="rename the parameter, mark it as an input, or drop the name",
                    step=step.name,
                    parameter=edge.parameter.name if edge.parameter else None,
                    place=edge.place,
                )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a step that names itself",
    why="A step can't have its own result before it has run, so it would wait for ever.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def report(report: str) -> str:
    return report

billing = Flow("billing", report)
""",
            ('4:12: BTN105: step "report" waits for itself',),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def first() -> int:
    return 1

@step(after=("first", "second"))
def second() -> int:
    return 2

both = Flow("both", second, first)
""",
            ('7:23: BTN105: step "second" waits for itself',),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def report(title: Input[str]) -> str:
    return title

billing = Flow("billing", report, report.named("again").bind(title="once more"))
"""
        ),
    ),
    run=run,
)
