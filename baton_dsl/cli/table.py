"""Print workflows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click

from baton_dsl.core.drawing import columns
from baton_dsl.core.wording import duration, printable
from baton_dsl.runtime.listing import Listed

COLOURS: Final = {
    "running": "blue",
    "stuck": "red",
    "paused": "magenta",
    "stopping": "yellow",
    "completed": "green",
    "cancelled": "yellow",
    "discarded": "red",
}
"""Of each standing."""


def of_workflows(listed: Sequence[Listed]) -> str:
    """A table with a line for each, and colours that `click.echo` takes away where they don't belong."""
    now = datetime.now(UTC)
    heads = ("ID", "FLOW", "LABEL", "STANDING", "STEPS", "AGE")
    rows = [heads, *(_cells(workflow, now) for workflow in listed)]
    shown = [index for index, head in enumerate(heads) if head != "LABEL" or _has_labels(listed)]
    widths = {index: max(columns(row[index]) for row in rows) for index in shown}
    lines = []
    for number, row in enumerate(rows):
        cells = [row[index] + " " * (widths[index] - columns(row[index])) for index in shown]
        if number == 0:
            lines.append(click.style("  ".join(cells).rstrip(), dim=True))
        else:
            place = shown.index(heads.index("STANDING"))
            cells[place] = click.style(cells[place], fg=COLOURS[listed[number - 1].standing])
            lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _has_labels(listed: Sequence[Listed]) -> bool:
    return any(workflow.name != workflow.flow for workflow in listed)


def _cells(workflow: Listed, now: datetime) -> tuple[str, ...]:
    return (
        printable(workflow.id),
        printable(workflow.flow),
        printable(workflow.name),
        workflow.standing,
        _steps(workflow),
        duration((now - workflow.inserted_at).total_seconds()),
    )


def _steps(workflow: Listed) -> str:
    """How many have settled, and how many of these not as they should."""
    said = f"{workflow.steps - workflow.unsettled:,} of {workflow.steps:,}"
    failed = [f"{workflow.discarded:,} discarded"] if workflow.discarded else []
    failed += [f"{workflow.cancelled:,} cancelled"] if workflow.cancelled else []
    return f"{said} ({', '.join(failed)})" if failed else said
