"""BTN902: a file that Python can't parse."""

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Door, Example, Finder, Rule
from baton_dsl.core.spec import Place

finding = Finder("BTN902", "baton-unparsable-file")


def unparsable(reason: str, place: Place) -> Diagnostic:
    """The finding for one file."""
    return finding(
        f"can't be parsed: {reason}",
        help="baton-lint parses with the Python that runs it; flows that import from this file are open",
        place=place,
    )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a file that can't be parsed",
    why=(
        "A file with a syntax error, a wrong encoding or null bytes can't be checked. The other files are checked, but "
        "rules that depend on this one stay silent."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

shop = Flow("shop", orders
""",
            ("3:12: BTN902: can't be parsed: '(' was never closed",),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> int:
    return 1

shop = Flow("shop", orders)
"""
        ),
    ),
    doors=frozenset({Door.TEXT}),
)
