"""BTN102: a name that is neither a step of the flow nor an input."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic, did_you_mean
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import ParameterSpec, StepSpec
from baton_dsl.core.wording import suggestion_after

finding = Finder("BTN102", "baton-missing-upstream")


MOST_SUGGESTIONS: Final = 100
"""The most findings of a flow that get a "did you mean?": each compares a name with all others."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each parameter, `From`, `after` or `deps` that names no step and no input."""
    if context.flow.is_open or not context.graph.stray:
        return
    steps = context.graph.steps
    inputs = context.flow.inputs()
    nearest = _Nearest([*steps])
    for step in context.graph.stray:
        for parameter in step.parameters:
            if parameter.is_upstream and parameter.source is not None and parameter.source not in steps:
                yield _parameter(step, parameter, nearest, inputs)
        for reference in (*step.after, *step.deps):
            if reference.name not in steps:
                suggestion = nearest.to(reference.name, step)
                yield finding(
                    f'step "{step.name}" waits for "{reference.name}", which is no step of the flow{_ask(suggestion)}',
                    help="add that step to the flow, or drop the name",
                    suggestion=suggestion,
                    step=step.name,
                    place=reference.place,
                )


@dataclass(slots=True)
class _Nearest:
    """Suggests names of steps, for the first `MOST_SUGGESTIONS` findings."""

    names: list[str]
    left: int = MOST_SUGGESTIONS

    def to(self, name: str, step: StepSpec) -> str | None:
        """The name nearest to a misspelt one, other than the step's own name."""
        if self.left == 0:
            return None
        self.left -= 1
        return did_you_mean(name, (other for other in self.names if other != step.name))


def _parameter(step: StepSpec, parameter: ParameterSpec, nearest: _Nearest, inputs: Container[str]) -> Diagnostic:
    source = parameter.source or parameter.name
    if source != parameter.name:
        suggestion = nearest.to(source, step)
        return finding(
            f'step "{step.name}" takes "{parameter.name}" from "{source}", which is no step of the flow'
            f"{_ask(suggestion)}",
            help="add that step to the flow, or name another in From(...)",
            suggestion=suggestion,
            step=step.name,
            parameter=parameter.name,
            place=parameter.place,
        )
    suggestion = None if source in inputs else nearest.to(source, step)
    ask = ", but other steps take it as an input; did you forget Input[...]?" if source in inputs else _ask(suggestion)
    return finding(
        f'step "{step.name}" has no upstream or input called "{source}"{ask}',
        help=f"rename the parameter to a step of the flow, or mark it as an input: {source}: Input[...]",
        suggestion=suggestion,
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


def _ask(nearest: str | None) -> str:
    return suggestion_after(nearest)


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a parameter, `after`, `deps` or `From` that names no step and is no input",
    why=(
        "Parameter names are the edges of the graph. If a misspelt name silently became an input, the edge would be "
        "lost, and the step would fail in production or run too early."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> list[str]:
    return []

@step
def report(order: list[str]) -> str:
    return ", ".join(order)

billing = Flow("billing", orders, report)
""",
            ('8:12: BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?',),
        ),
        Example(
            """\
from typing import Annotated

from baton_dsl import Flow, From, Input, step

@step
def token(api_key: Input[str]) -> str:
    return api_key

@step(after=("tokn",))
def cleanup() -> None: ...

@step
def report(
    left: Annotated[str, From("tokens")],
    api_key: str,
) -> str:
    return left + api_key

billing = Flow("billing", report, cleanup, token)
""",
            (
                '9:14: BTN102: step "cleanup" waits for "tokn", which is no step of the flow; did you mean "token"?',
                (
                    '14:5: BTN102: step "report" takes "left" from "tokens", which is no step of the flow; '
                    'did you mean "token"?'
                ),
                (
                    '15:5: BTN102: step "report" has no upstream or input called "api_key", '
                    "but other steps take it as an input; did you forget Input[...]?"
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from typing import Annotated

from baton_dsl import Flow, From, Input, StepContext, step

@step
def orders(api_key: Input[str]) -> list[str]:
    return [api_key]

@step(after=("orders",))
def cleanup(context: StepContext) -> None: ...

@step
def report(orders: list[str], again: Annotated[list[str], From("orders")], more: list[str] = From(orders)) -> int:
    return len(orders) + len(again) + len(more)

billing = Flow("billing", report, cleanup, orders)
"""
        ),
    ),
    run=run,
)
