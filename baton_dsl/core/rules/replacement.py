"""BTN311: a test that replaces a step that is not in the flow, or replaces it by a value that it can't return."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic, did_you_mean, quoted
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, Replaced, Types
from baton_dsl.core.wording import suggestion_after

finding = Finder("BTN311", "baton-replacement")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each replaced step that does not exist, and for each value that its step can't return."""
    for call in context.flow.inserts:
        for replaced in call.replaced:
            yield from wrong(context.flow, replaced, context.types)


def wrong(flow: FlowSpec, replaced: Replaced, types: Types) -> Iterator[Diagnostic]:
    """The findings for the replacement of one step."""
    steps = {step.name: step for step in flow.steps}
    name, place = replaced.step
    if name not in steps:
        if not flow.is_open:
            nearest = did_you_mean(name, steps)
            yield finding(
                f'the flow has no step "{name}" to replace' + suggestion_after(nearest),
                help=f"it has {quoted(steps)}",
                suggestion=nearest,
                place=place,
            )
        return
    result = steps[name].result
    if result in (MISSING, UNKNOWN):
        return
    items = [each for answer in replaced.answers for each in (answer.type, answer.narrowest)]
    if replaced.is_list and any(types.assignable(types.list_of(item), result) is not False for item in items):
        return  # it may be one value
    for answer in replaced.answers:
        if types.assignable(answer.narrowest, result) is False:
            expected, given = types.apart(result, answer.type)
            yield finding(
                f'step "{name}" returns {expected}, but is replaced by {given}',
                help="replace it by what its return annotation says",
                step=name,
                place=answer.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a test that replaces a step that is not in the flow, or replaces it by a value that it can't return",
    why=(
        "A test that replaces a step by a value that it never returns proves nothing: downstream steps get a value "
        "that they never get in production. At run time this is BTN601, raised before anything runs; this rule "
        "reports it in the editor."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step
from baton_dsl.testing import Baton, attempts

@step
def charge() -> int:
    return 12

@step
def lines(charge: int) -> list[str]:
    return [str(charge)]

shop = Flow("shop", charge, lines)

async def test_shop(baton: Baton) -> None:
    await baton.run(shop, replace={charge: "twelve", "line": 3})
    baton.sync.run(shop, replace={charge: [ConnectionError(), "twelve"], lines: attempts(3)})
""",
            (
                '15:44: BTN311: step "charge" returns int, but is replaced by str',
                '15:54: BTN311: the flow has no step "line" to replace; did you mean "lines"?',
                '16:63: BTN311: step "charge" returns int, but is replaced by str',
                '16:90: BTN311: step "lines" returns list[str], but is replaced by int',
            ),
            frozenset({Door.TEXT, Door.TYPES}),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step
from baton_dsl.testing import Baton, attempts

@step
def charge() -> int:
    return 12

@step
def lines(charge: int) -> list[str]:
    return [str(charge)]

shop = Flow("shop", charge, lines)

async def test_shop(baton: Baton) -> None:
    await baton.run(shop, replace={charge: [ConnectionError(), OSError, 12], lines: ["a", "b"]})
    baton.sync.run(shop, replace={"charge": lambda: 3, lines: attempts(OSError(), ["a"])})
"""
        ),
    ),
    run=run,
    doors=frozenset({Door.TEXT, Door.TYPES}),
)
