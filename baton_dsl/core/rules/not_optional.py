"""BTN202: an upstream may be absent, but the parameter does not accept None."""

from collections.abc import Iterator

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, ParameterSpec, StepSpec, Types

finding = Finder("BTN202", "baton-not-optional")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each parameter that does not accept a missing result of its upstream, or of an item of it."""
    has_maps = bool(context.graph.mapped)
    for step in context.flow.steps:
        options = context.flow.ignored_by(step).options
        if not options and not has_maps:
            continue
        ignored = " and ".join(options)
        for parameter in step.parameters:
            if not parameter.is_upstream or parameter.type in (MISSING, UNKNOWN):
                continue
            upstream = context.graph.steps.get(parameter.source or "")
            if upstream is None or upstream.name == step.name:
                continue
            edge = maps.Edge.of(parameter, upstream)
            if edge.lists:
                yield from _items(context.types, step, parameter, upstream, ignored)
            elif ignored and has_no_room(context.types, parameter, upstream):
                shown = context.types.show(parameter.type)
                taken = f"is {shown}, but" if not parameter.each else f"takes each item as {shown}, but an item of"
                optional = maps.written(context.types, parameter, context.types.optional(parameter.type))
                yield finding(
                    f'parameter "{parameter.name}" of step "{step.name}" {taken} "{upstream.name}" may be absent, '
                    f"since {_are_set(ignored)}",
                    help=f"accept None: {parameter.name}: {optional}",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )


def _are_set(options: str) -> str:
    return f"{options} {'are' if ' and ' in options else 'is'} set"


def has_no_room(types: Types, parameter: ParameterSpec, upstream: StepSpec) -> bool:
    """True if a parameter accepts neither None for an absent upstream, nor a placeholder for an absent item."""
    edge = maps.Edge.of(parameter, upstream)
    if edge.lists:
        return maps.forms(types, parameter, upstream) == (maps.Form.PLAIN,)
    return not edge.peeled and types.accepts_none(parameter.type) is False


def loses_items(flow: FlowSpec, step: StepSpec, upstream: StepSpec) -> bool:
    """True if a step may run although items of its mapped upstream failed."""
    return any(flow.ignored_by(step)) or "min_success" in upstream.options


def _items(
    types: Types, step: StepSpec, parameter: ParameterSpec, upstream: StepSpec, ignored: str
) -> Iterator[Diagnostic]:
    """The finding for a list of results from which failed items would be missing silently."""
    if not ignored and "min_success" not in upstream.options:
        return
    if not has_no_room(types, parameter, upstream):
        return
    reason = f"since {_are_set(ignored)}" if ignored else f'since "{upstream.name}" has min_success'
    shown = types.show(parameter.type)
    taken = f"takes each item as {shown}" if parameter.each else f"is {shown}"
    optional, outcome = (
        f"{parameter.name}: {maps.written(types, parameter, maps.offer(types, parameter, upstream, form))}"
        for form in (maps.Form.OPTIONAL, maps.Form.OUTCOME)
    )
    yield finding(
        f'parameter "{parameter.name}" of step "{step.name}" {taken}, from which failed items of "{upstream.name}" '
        f"would be missing, {reason}",
        help=f"take None for them, {optional}; or how each ended, {outcome}",
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an upstream, or an item of a map, may be absent, but the parameter has no room for that",
    why=(
        "With `ignore_cancelled` or `ignore_discarded`, a step runs although an upstream has no result; its parameter "
        "is then None. If the annotation does not allow None, the step fails just when something else has failed "
        "already. A map may complete although items failed (with `min_success=`, or if the downstream ignores them). "
        "A plain list of its results would be shorter, and nobody would see by how much: `list[R | None]` and "
        "`list[Outcome[R]]` keep a place for each item."
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
        Example(
            """\
from baton_dsl import Each, Flow, step

@step
def regions() -> list[str]:
    return ["eu", "us"]

@step(min_success=0.9)
def orders(regions: Each[str]) -> int:
    return len(regions)

@step(ignore_discarded=True, ignore_cancelled=True)
def bill(orders: Each[int]) -> str:
    return str(orders)

@step
def report(orders: list[int]) -> str:
    return str(sum(orders))

@step(ignore_discarded=True)
def archive(bill: list[str]) -> str:
    return ", ".join(bill)

shop = Flow("shop", regions, orders, bill, report, archive)
""",
            (
                (
                    '12:10: BTN202: parameter "orders" of step "bill" takes each item as int, but an item of "orders" '
                    "may be absent, since ignore_cancelled and ignore_discarded are set"
                ),
                (
                    '16:12: BTN202: parameter "orders" of step "report" is list[int], from which failed items of '
                    '"orders" would be missing, since "orders" has min_success'
                ),
                (
                    '20:13: BTN202: parameter "bill" of step "archive" is list[str], from which failed items of '
                    '"bill" would be missing, since ignore_discarded is set'
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
        Example(
            """\
from collections.abc import Sequence

from baton_dsl import Each, Flow, Outcome, Skip, step

@step
def regions() -> list[str]:
    return ["eu", "us"]

@step(min_success=1)
def orders(regions: Each[str]) -> int | Skip:
    return len(regions) or Skip("no orders")

@step(ignore_discarded=True)
def bill(orders: Each[int | None]) -> str:
    return str(orders)

@step
def report(orders: list[int | None], bill: list[str]) -> str:
    return str(orders) + str(bill)

@step
def failures(orders: list[Outcome[int]]) -> int:
    return sum(not order.ok for order in orders)

@step(ignore_cancelled=True)
def archive(orders: Sequence[int | None], bill: list[Outcome[str]]) -> str:
    return f"{orders} {bill}"

shop = Flow("shop", regions, orders, bill, report, failures, archive)
"""
        ),
    ),
    run=run,
)
