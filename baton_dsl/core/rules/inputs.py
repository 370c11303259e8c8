"""BTN303: an unknown, missing or wrongly typed input at `insert` or `bind`."""

from collections.abc import Iterable, Iterator, Mapping

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, did_you_mean
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule
from baton_dsl.core.spec import Argument, FlowSpec, InsertCall, Role, StepSpec, Types
from baton_dsl.core.wording import suggestion_after

finding = Finder("BTN303", "baton-input")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each wrong argument of `bind`, and for each wrong or missing one of a visible `insert`."""
    for step in context.flow.steps:
        if not step.bound or step.is_open or step.is_bound_checked:
            continue
        if Role.UNKNOWN not in [parameter.role for parameter in step.parameters]:
            yield from bound(step, context.types)
    for call in context.flow.binds:
        yield from given(context.flow, call, context.types)
    for call in context.flow.inserts:
        yield from inserted(context.flow, call, context.types)


def bound(step: StepSpec, types: Types) -> Iterator[Diagnostic]:
    """The findings for the arguments of `step.bind(...)`."""
    inputs = {parameter.name: parameter for parameter in step.parameters if parameter.is_input}
    for name, argument in step.bound.items():
        if name not in inputs:
            nearest = did_you_mean(name, inputs)
            yield finding(
                f'step "{step.name}" has no input called "{name}"{_ask(nearest)}',
                help=_choices(inputs),
                suggestion=nearest,
                step=step.name,
                parameter=name,
                place=argument.place or step.bind_place,
            )
        elif types.assignable(argument.narrowest, expected := maps.given(types, inputs[name])) is False:
            yield wrong_type(name, *types.apart(expected, argument.type), argument)


def inserted(flow: FlowSpec, call: InsertCall, types: Types) -> Iterator[Diagnostic]:
    """The findings for the arguments of `flow.insert(...)`."""
    yield from given(flow, call, types)
    if not call.is_open:
        yield from missing(flow, call)


def given(flow: FlowSpec, call: InsertCall, types: Types) -> Iterator[Diagnostic]:
    """The findings for the arguments that a call passes, not for missing ones; enough for `flow.bind(...)`."""
    takers = flow.inputs()
    if flow.knows_its_inputs:
        yield from unknown(call.arguments, takers)
    for name, argument in call.arguments.items():
        for _, parameter in takers.get(name, ())[:1]:
            if types.assignable(argument.narrowest, expected := maps.given(types, parameter)) is False:
                yield wrong_type(name, *types.apart(expected, argument.type), argument)


def unknown(given: Mapping[str, Argument], known: Iterable[str]) -> Iterator[Diagnostic]:
    """A finding for each argument that is not an input of the flow."""
    inputs = list(known)
    for name, argument in given.items():
        if name not in inputs:
            nearest = did_you_mean(name, inputs)
            yield finding(
                f'the flow has no input called "{name}"{_ask(nearest)}',
                help=_choices(inputs),
                suggestion=nearest,
                parameter=name,
                place=argument.place,
            )


def give(name: str, *, in_mapping: bool = False) -> str:
    """What to do about an input that is missing."""
    return f'pass it: {{"{name}": ...}}' if in_mapping else f"pass it: insert(..., {name}=...)"


def missing(flow: FlowSpec, call: InsertCall) -> Iterator[Diagnostic]:
    """A finding for each input without a default that the call does not give."""
    for name, takers in flow.inputs().items():
        needing = [step.name for step, parameter in takers if not parameter.has_default]
        if needing and name not in call.arguments:
            yield finding(
                f'input "{name}" is missing; step "{needing[0]}" needs it',
                help=give(name, in_mapping=call.is_mapping),
                parameter=name,
                place=call.place,
            )


def wrong_type(name: str, expected: str, given: str, argument: Argument) -> Diagnostic:
    """The finding for a value of the wrong type."""
    return finding(
        f'input "{name}" must be {expected}, got {given}',
        help=f"pass a value of type {expected}",
        parameter=name,
        place=argument.place,
    )


def _ask(nearest: str | None) -> str:
    return suggestion_after(nearest)


def _choices(inputs: Iterable[str]) -> str:
    names = list(inputs)
    return f"the inputs are {', '.join(names)}" if names else "it takes no inputs"


STATIC = frozenset({Door.TEXT, Door.TYPES})

RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an unknown, missing or wrongly typed input at `insert` or `bind`",
    why="Inputs are validated before the first row is written. The analyzer says so before the code is deployed.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str], amount: Input[int] = 1) -> int:
    return amount

billing = Flow(
    "billing",
    charge.named("charge_eu").bind(regoin="eu"),
    charge.named("charge_us").bind(amount="ten", region="us"),
)
""",
            (
                '9:36: BTN303: step "charge_eu" has no input called "regoin"; did you mean "region"?',
                '10:36: BTN303: input "amount" must be int, got str',
            ),
        ),
        Example(
            """\
from baton_dsl import Each, Flow, Input, step

@step
def charge(region: Each[Input[str]]) -> int:
    return len(region)

billing = Flow("billing", charge.bind(region="eu"))
""",
            ('7:39: BTN303: input "region" must be list[str], got str',),
        ),
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str], amount: Input[int] = 1) -> int:
    return amount

billing = Flow("billing", charge)
in_europe = billing.bind(region="eu")

async def main() -> None:
    await billing.insert(amont=3)
    await in_europe.insert(amount="three")
""",
            (
                '11:11: BTN303: input "region" is missing; step "charge" needs it',
                '11:26: BTN303: the flow has no input called "amont"; did you mean "amount"?',
                '12:28: BTN303: input "amount" must be int, got str',
            ),
            STATIC,
        ),
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str], amount: Input[int] = 1) -> int:
    return amount

billing = Flow("billing", charge)
in_europe = billing.bind(region="eu")

async def main() -> None:
    await billing.insert_many(None, [{"region": "eu", "amont": 3}, {"amount": 3}])
    await in_europe.insert_many(None, [({"amount": "three"}, {"debug": True}), {}])
""",
            (
                '11:55: BTN303: the flow has no input called "amont"; did you mean "amount"?',
                '11:68: BTN303: input "region" is missing; step "charge" needs it',
                '12:42: BTN303: input "amount" must be int, got str',
            ),
            STATIC,
        ),
        Example(
            """\
from baton_dsl import Flow, Input, step

@step
def charge(region: Input[str], amount: Input[int] = 1) -> int:
    return amount

billing = Flow("billing", charge)
in_europe = billing.bind(region="eu", amuont=3)
by_number = billing.bind(amount="ten").bind(region=7)
""",
            (
                '8:39: BTN303: the flow has no input called "amuont"; did you mean "amount"?',
                '9:26: BTN303: input "amount" must be int, got str',
                '9:45: BTN303: input "region" must be str, got int',
            ),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Each, Flow, Input, step

@step
def charge(region: Input[str], amount: Input[float] = 1) -> float:
    return amount

@step
def tell(customer: Each[Input[str]]) -> str:
    return customer

billing = Flow("billing", charge, charge.named("charge_us").bind(region="us", amount=3), tell)
in_europe = billing.bind(region="eu")

async def main() -> None:
    await billing.insert(region="eu", customer=["ada", "eve"])
    await in_europe.insert(customer=[])
    await in_europe.insert(amount=0.5, region="uk", customer=["ada"])
    await in_europe.insert_many(None, [{"customer": ["ada"]}, ({"amount": 0.5, "customer": []}, {"workflow_id": "a"})])
"""
        ),
    ),
    run=run,
)
