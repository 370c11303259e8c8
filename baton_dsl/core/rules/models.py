"""BTN312: a step of several models that can't run as such, or several models for a step that runs once."""

from collections.abc import Iterator, Mapping
from typing import Final

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, Note, quoted
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, Form, ParameterSpec, Role, StepSpec, Types

finding = Finder("BTN312", "baton-models")

ALL_OTHERS: Final = "*"
"""Stands for every step that the option `models` of a flow does not name."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each step and each parameter that does not fit several models."""
    for step in context.flow.steps:
        if step.options and step.is_per_model:  # most steps have no options
            yield from _of_step(step)
        for parameter in step.parameters:
            if parameter.each and parameter.source is not None:
                upstream = context.graph.steps.get(parameter.source)
                if upstream is not None and upstream.options and upstream.is_per_model:
                    yield _mapped_over(context.types, step, parameter, upstream)
    yield from _of_flow(context.flow, context.graph.steps)


def _of_step(step: StepSpec) -> Iterator[Diagnostic]:
    place = step.options["models"].place
    mapped = [parameter.name for parameter in step.parameters if parameter.each]
    if mapped:
        yield finding(
            f'step "{step.name}" runs once for each model, so it can\'t run once for each item of {quoted(mapped)}',
            help="map in a step of its own, and let this one take its list",
            step=step.name,
            place=place,
        )
    if (count := _count(step.options["models"].value)) is not None and count < (least := _least(step)):
        yield finding(
            f'step "{step.name}" must succeed with {least} models, but has {count}',
            help="name more models, or lower min_success",
            step=step.name,
            place=step.options["min_success"].place,
        )
    if not step.is_open and not any(_may_tell_the_model(parameter) for parameter in step.parameters):
        yield finding(
            f'step "{step.name}" runs once for each model, but takes no StepContext, so its model is unknown',
            help="take one, and call the model that it names: context: StepContext, context.model",
            step=step.name,
            place=place,
        )


def _least(step: StepSpec) -> int:
    """How many of a step's models must succeed, if that is known and not a share."""
    least = step.options["min_success"].value if "min_success" in step.options else None
    return least if isinstance(least, int) and not isinstance(least, bool) else 0


def _count(models: object) -> int | None:
    """How many models are named; None if that is unknown."""
    if isinstance(models, str):
        return 1
    return len(models) if isinstance(models, list | tuple) and UNKNOWN not in models else None


def _may_tell_the_model(parameter: ParameterSpec) -> bool:
    if parameter.role is Role.INJECTED:
        return parameter.access is None
    return parameter.role is Role.UNKNOWN and parameter.form is Form.KEYWORD


def _mapped_over(types: Types, step: StepSpec, parameter: ParameterSpec, upstream: StepSpec) -> Diagnostic:
    whole = maps.result(types, upstream)
    shown = "a dict by model" if whole in (MISSING, UNKNOWN) else types.show(whole)
    place = upstream.return_place or upstream.place
    return finding(
        f'parameter "{parameter.name}" of step "{step.name}" maps over "{upstream.name}", '
        "which runs once for each model",
        help=f"take its results whole, as {shown}; or let a step between them return a list",
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
        notes=(Note(f'"{upstream.name}" is defined here', place),) if place else (),
    )


def _of_flow(flow: FlowSpec, steps: Mapping[str, StepSpec]) -> Iterator[Diagnostic]:
    option = flow.options.get("models")
    if option is None or not isinstance(option.value, Mapping):
        return
    for name, models in option.value.items():
        step = steps.get(name)
        if step is not None and step.is_per_model and (count := _count(models)) is not None and count < _least(step):
            yield finding(
                f'step "{name}" must succeed with {_least(step)} models, but option "models" names {count} for it',
                help="name more models; min_success is an option of the step",
                step=name,
                place=option.place,
            )
        if not isinstance(models, list | tuple):
            continue
        if name == ALL_OTHERS:
            problem = 'option "models" gives several models to all steps that it does not name ("*")'
        elif step is not None and step.is_per_model is False:
            problem = f'option "models" gives step "{name}" several models, but it runs once'
        else:
            continue
        yield finding(
            problem,
            help="give it one; or declare the step with several, @step(models=(...)), and what takes its result "
            "takes a dict by model",
            step=None if name == ALL_OTHERS else name,
            place=option.place,
        )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a step of several models that can't run as such, or several models for a step that runs once",
    why=(
        "`@step(models=(...))` runs a step once for each model and gives a dict of results by model. Only the step's "
        "definition can turn this on, because it changes what downstream steps take; a flow may only choose the "
        "models. It is a fan-out of its own, so it can't be combined with `Each`. And a step that does not read "
        "`context.model` would do, and pay for, the same work several times."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Each, Flow, Input, StepContext, step

@step(models=("anthropic:a", "openai:b"))
def assess(source: Each[Input[str]], context: StepContext) -> float:
    return len(source) / 2

@step(models=["anthropic:a"])
def grade(text: Input[str]) -> float:
    return len(text) / 2

@step
def check(grade: Each[float]) -> bool:
    return grade > 0.1

review = Flow("review", assess, grade, check)
""",
            (
                '3:7: BTN312: step "assess" runs once for each model, so it can\'t run once for each item of "source"',
                '7:7: BTN312: step "grade" runs once for each model, but takes no StepContext, so its model is unknown',
                '12:11: BTN312: parameter "grade" of step "check" maps over "grade", which runs once for each model',
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, Input, StepContext, step

@step(models="anthropic:a")
def assess(text: Input[str], context: StepContext) -> float:
    return 0.5

review = Flow("review", assess, models={"assess": ["anthropic:a", "openai:b"]})
""",
            ('7:33: BTN312: option "models" gives step "assess" several models, but it runs once',),
        ),
        Example(
            """\
from baton_dsl import Flow, StepContext, step

@step(
    models=("anthropic:a", "openai:b"),
    min_success=3,
)
def vote(context: StepContext) -> bool:
    return True

@step(models=("anthropic:a", "openai:b"), min_success=2)
def judge(context: StepContext) -> bool:
    return True

review = Flow("review", vote, judge, models={"judge": "openai:b"})
""",
            (
                '5:5: BTN312: step "vote" must succeed with 3 models, but has 2',
                '14:38: BTN312: step "judge" must succeed with 2 models, but option "models" names 1 for it',
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Each, Flow, Input, Outcome, StepContext, step

@step(models="anthropic:a")
def summary(source: Each[Input[str]], context: StepContext) -> str:
    return source

@step(models=("anthropic:a", "openai:b"), max_concurrency=1)
async def assess(summary: list[str], context: StepContext) -> float:
    return len(summary) / 2

@step(models=["anthropic:a", "openai:b"], min_success=1)
def vote(summary: list[str], context: StepContext) -> bool:
    return len(summary) > 1

@step
def report(assess: dict[str, float], vote: dict[str, Outcome[bool]]) -> str:
    return f"{assess} {vote}"

review = Flow("review", summary, assess, vote, report, models={"assess": ("openai:c", "openai:d"), "vote": "openai:c"})
"""
        ),
    ),
    run=run,
    is_about_a_step=True,
)
