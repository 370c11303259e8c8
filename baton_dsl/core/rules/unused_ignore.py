"""BTN901: a suppression comment that suppresses nothing."""

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Door, Example, Finder, Rule
from baton_dsl.core.spec import Place

finding = Finder("BTN901", "baton-unused-ignore")


def unused(code: str, place: Place, *, exists: bool) -> Diagnostic:
    """The finding for one code of a comment."""
    if not code:
        return finding("this comment ignores every rule, but nothing is found here", help="drop it", place=place)
    if not exists:
        return finding(f"there is no rule {code} to ignore", help="baton-lint rules lists them", place=place)
    return finding(f"{code} is ignored, but not found here", help="drop it", place=place)


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a suppression comment that suppresses nothing",
    why="A comment that outlives its reason hides the next mistake on that line.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step  # baton: ignore[BTN305]
def orders() -> int:
    return 1

@step
def report(order: int) -> int:  # baton: ignore[BTN102, BTN999]
    return order

shop = Flow("shop", orders, report)
""",
            (
                "3:24: BTN901: BTN305 is ignored, but not found here",
                "8:57: BTN901: there is no rule BTN999 to ignore",
            ),
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

@step
def report(orders: int) -> int:
    return orders  # "baton: ignore[BTN102]" in a string or another comment has no effect

shop = Flow("shop", orders, report)
""",
        ),
    ),
    doors=frozenset({Door.TEXT}),
)
