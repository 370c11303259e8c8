"""BTN202: an upstream may be absent, but the parameter does not accept None."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN

finding = Finder("BTN202", "baton-not-optional")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each upstream parameter, not Optional, of a step that ignores how its upstreams end."""
    flow = context.flow
    for step in flow.steps:
        flags = {
            "ignore_cancelled": flow.ignore_cancelled if step.ignore_cancelled is None else step.ignore_cancelled,
            "ignore_discarded": flow.ignore_discarded if step.ignore_discarded is None else step.ignore_discarded,
        }
        ignored = " and ".join(name for name, is_set in flags.items() if is_set)
        if not ignored:
            continue
        for parameter in step.parameters:
            if not parameter.is_upstream or parameter.each or parameter.type in (MISSING, UNKNOWN):
                continue
            upstream = context.graph.steps.get(parameter.source or "")
            if upstream is None or upstream.is_mapped:
                continue
            if context.types.accepts_none(parameter.type) is False:
                shown = context.types.show(parameter.type)
                yield finding(
                    f'parameter "{parameter.name}" of step "{step.name}" is {shown}, but "{upstream.name}" may be '
                    f"absent, since {ignored} is set",
                    help=f"accept None: {parameter.name}: {shown} | None",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an ignored upstream may be absent, but the parameter does not accept None",
    why=(
        "With `ignore_cancelled` or `ignore_discarded` a step runs though an upstream has no result; its parameter is "
        "None then. A parameter that does not say so fails just when something else has failed already."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def charge() -> int:
    return 1

@step(ignore_discarded=True)
def report(charge: int) -> str:
    return str(charge)

billing = Flow("billing", charge, report)
""",
            (
                (
                    '8:12: BTN202: parameter "charge" of step "report" is int, but "charge" may be absent, '
                    "since ignore_discarded is set"
                ),
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(ignore_cancelled=False)
def report(charge: int) -> str:
    return str(charge)

@step
def notify(report: str, charge: int | None) -> None: ...

@step
def charge() -> int:
    return 1

billing = Flow("billing", report, notify, charge, ignore_cancelled=True)
""",
            (
                (
                    '8:12: BTN202: parameter "report" of step "notify" is str, but "report" may be absent, '
                    "since ignore_cancelled is set"
                ),
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def charge() -> int:
    return 1

@step(ignore_discarded=True, ignore_cancelled=True)
def report(charge: int | None) -> str:
    return str(charge)

@step(after=("charge",), ignore_discarded=True)
def cleanup() -> None: ...

billing = Flow("billing", charge, report, cleanup)
"""
        ),
    ),
    run=run,
)
