"""`explain`, `rules` and `graph`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from baton_dsl.core.render import dot, mermaid
from baton_dsl.core.rules import CATALOGUE, Rule
from baton_dsl.core.spec import FlowSpec
from baton_lint.arguments import UsageError
from baton_lint.pages import page

type Print = Callable[[str], None]


def explain(wanted: Sequence[str], write: Print) -> int:
    """Print rules with their reasons and examples."""
    if not wanted:
        raise UsageError("explain needs a code, such as BTN102; baton-lint rules lists them")
    write("\n".join(page(_rule(name)) for name in wanted).rstrip())
    return 0


def rules(write: Print) -> int:
    """Print every rule on its own line."""
    widest = max(len(rule.slug) for rule in CATALOGUE.values())
    for rule in CATALOGUE.values():
        write(f"{rule.code}  {rule.slug:<{widest}}  {rule.summary}")
    return 0


def graph(flows: Sequence[FlowSpec], form: str, write: Print) -> int:
    """Draw flows."""
    draw = mermaid if form == "mermaid" else dot
    write("\n".join(draw(flow) for flow in flows).rstrip())
    return 0


def _rule(name: str) -> Rule:
    for rule in CATALOGUE.values():
        if name.upper() == rule.code or name == rule.slug:
            return rule
    raise UsageError(f'no rule is called "{name}"; baton-lint rules lists them')
