"""`baton cost`: compute the most that a flow can cost. Runs nothing, and needs no database."""

from __future__ import annotations

from decimal import Decimal

import click

from baton_dsl.cli import terminal
from baton_dsl.cli.approve import MONEY
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import AnyFlow, flow_argument
from baton_dsl.cli.usage import aligned
from baton_dsl.core.wording import money, printable
from baton_dsl.runtime.lowering.bounds import bounds_of


@click.command("cost")
@click.argument("flow", metavar="MODULE:FLOW", callback=flow_argument)
@click.option("--max", "most", type=MONEY, metavar="AMOUNT", help="Exit with code 1 if it can cost more than this.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(flow: AnyFlow, most: Decimal | None, as_json: bool) -> int:
    """Show the most that a flow can cost: the cost of each step, times its attempts, times its items.

    The cost of a step is its max_cost, or the price of its max_input_tokens and max_output_tokens. A step that has a
    model and declares neither makes the sum a lower bound, and so does a model whose price is not known.

    MODULE:FLOW names a module and the variable of the flow in it. The module alone is enough if it has only one flow.

    \b
    Example:
      baton cost app.flows:brief --max 10
    """
    flow.validate()
    bounds = bounds_of(flow)
    total = sum((bound.total for bound in bounds if bound.total is not None), Decimal(0))
    is_lower = any(bound.total is None for bound in bounds)
    if as_json:
        steps = [
            {
                "step": bound.step,
                "cost": None if bound.cost is None else format(bound.cost, "f"),
                "attempts": bound.attempts,
                "items": bound.items,
                "total": None if bound.total is None else format(bound.total, "f"),
                "unknown": bound.unknown,
            }
            for bound in bounds
        ]
        terminal.echo_json({"total": format(total, "f"), "lower_bound": is_lower, "steps": steps})
    else:
        rows: list[tuple[str, ...]] = [("STEP", "COST", "ATTEMPTS", "ITEMS", "AT MOST")]
        rows += [
            (
                printable(bound.step),
                "?" if bound.cost is None else money(bound.cost),
                f"{bound.attempts:,}",
                f"{bound.items:,}",
                "?" if bound.total is None else money(bound.total),
            )
            for bound in bounds
        ]
        rows.append(("total", "", "", "", money(total) + ("+" if is_lower else "")))
        for line in aligned(rows):
            terminal.echo(line)
        for bound in bounds:
            if bound.unknown is not None:
                terminal.echo(f'"{printable(bound.step)}": {bound.unknown}', err=True)
    return Exit.WRONG if most is not None and (total > most or is_lower) else Exit.DONE
