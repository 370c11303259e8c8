"""`baton usage`: show what calls of models have used and cost."""

from __future__ import annotations

from datetime import timedelta

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.ages import AGE
from baton_dsl.core.wording import duration, money, printable
from baton_dsl.llm.reports import Totals
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.usage.reports import KEYS, usage_by


@click.command("usage")
@click.argument("workflow_id", metavar="[ID]", required=False)
@click.option("--by", type=click.Choice(list(KEYS)), help="Group by this; default: step for a workflow, else flow.")
@click.option("--newer-than", type=AGE, metavar="AGE", help="Only calls since then, such as 12h or 30d.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each group, in an array.")
@database.options
def command(
    workflow_id: str | None, by: str | None, newer_than: timedelta | None, as_json: bool, dsn: str | None, prefix: str
) -> None:
    """Show what the calls of models have used and cost, failed attempts included.

    A cost with a + is a lower bound: the price of some calls is not known.

    \b
    Examples:
      baton usage 01932c07
      baton usage --by model --newer-than 30d
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        full = None if workflow_id is None else selection.full_id(where, workflow_id)
        key = by or ("flow" if full is None else "step")
        found = read_sync(where, usage_by(key, workflow_id=full, newer_than=newer_than))
    if as_json:
        terminal.echo_json([{key: name, **as_json_object(totals)} for name, totals in found.items()])
        return
    if not found:
        terminal.echo("No calls of models are recorded.", err=True)
        return
    total = sum(found.values(), Totals())
    rows: list[tuple[str, ...]] = [(key.upper(), "CALLS", "INPUT", "CACHED", "OUTPUT", "TIME", "COST")]
    rows += [_cells(printable(name), totals) for name, totals in found.items()]
    if len(found) > 1:
        rows.append(_cells("total", total))
    for line in aligned(rows):
        terminal.echo(line)


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Align rows in columns: the first column to the left, all others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(name: str, totals: Totals) -> tuple[str, ...]:
    return (
        name,
        f"{totals.calls:,}",
        f"{totals.input:,}",
        f"{totals.cached:,}",
        f"{totals.output:,}",
        duration(totals.latency.total_seconds()) if totals.latency else "",
        money(totals.cost) + ("+" if totals.lower_bound else ""),
    )


def as_json_object(totals: Totals) -> dict[str, object]:
    """Totals of calls of models, as `--json` prints them."""
    return {
        "calls": totals.calls,
        "input": totals.input,
        "cached": totals.cached,
        "cache_write": totals.cache_write,
        "output": totals.output,
        "reasoning": totals.reasoning,
        "seconds": totals.latency.total_seconds(),
        "cost": format(totals.cost, "f"),
        "unpriced": totals.unpriced,
        "lower_bound": totals.lower_bound,
    }
