"""BTN101: steps that wait for each other."""

from collections.abc import Iterator

from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.graph import Edge
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule

finding = Finder("BTN101", "baton-cycle")

MOST_SHOWN = 12
"""How many steps of a cycle a message names; a longer cycle is cut in the middle."""


def run(context: Context) -> Iterator[Diagnostic]:
    """One finding for each cycle, at the parameter of the step that is defined first."""
    for cycle in context.graph.cycles():
        first = cycle[0]
        yield finding(
            f"steps wait for each other: {draw(cycle)}",
            help="drop one of these edges, or split a step so that no result is needed before it exists",
            step=first.step,
            parameter=first.parameter.name if first.parameter else None,
            place=first.place,
            notes=tuple(Note(f'"{edge.step}" waits for "{edge.upstream}"', edge.place) for edge in cycle[:MOST_SHOWN]),
        )


def draw(cycle: list[Edge]) -> str:
    """The path of a cycle, from its first step back to it: `"a" -> "b" -> "a"`."""
    names = [f'"{edge.step}"' for edge in cycle]
    if len(names) > MOST_SHOWN:
        half = MOST_SHOWN // 2
        names = [*names[:half], f"({len(names) - MOST_SHOWN} more)", *names[-half:]]
    return " -> ".join([*names, f'"{cycle[0].step}"'])


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="steps that wait for each other",
    why=(
        "A step starts when its upstreams have settled. On a cycle each step waits for the next, so none ever starts, "
        "and the workflow hangs without an error."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def invoice(payment: str) -> str:
    return payment

@step
def payment(invoice: str) -> str:
    return invoice

billing = Flow("billing", invoice, payment)
""",
            ('4:13: BTN101: steps wait for each other: "invoice" -> "payment" -> "invoice"',),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def start() -> int:
    return 1

@step
def left(start: int, right: int, tail: int) -> int:
    return start + right + tail

@step
def right(left: int) -> int:
    return left

@step
def tail(left: int) -> int:
    return left

twice = Flow("twice", start, left, right, tail)
""",
            (
                '8:22: BTN101: steps wait for each other: "left" -> "right" -> "left"',
                '8:34: BTN101: steps wait for each other: "left" -> "tail" -> "left"',
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(after=("b",))
def a() -> None: ...

@step
def b(c: int) -> None: ...

@step(after=("a",))
def c() -> int:
    return 1

ring = Flow("ring", c, b, a)
""",
            ('9:14: BTN101: steps wait for each other: "c" -> "a" -> "b" -> "c"',),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def invoice() -> str:
    return "2026-1"

@step
def payment(invoice: str) -> str:
    return invoice

@step
def receipt(invoice: str, payment: str) -> str:
    return invoice + payment

billing = Flow("billing", receipt, payment, invoice)
"""
        ),
    ),
    run=run,
)
