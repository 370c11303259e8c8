"""Print workflows as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from baton_dsl.cli import moments, terminal
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
"""The colour of each state of a workflow."""


SHORTEST: Final = 8
"""The least number of columns of a name, however narrow the terminal is."""


def of_workflows(listed: Sequence[Listed], *, width: int | None = None, in_utc: bool = False) -> str:
    """A table with a line for each workflow, with colours that `click.echo` removes if the output is no terminal.

    Args:
        listed: The workflows.
        width: The width of the terminal: flows and labels are cut to fit. None cuts nothing.
        in_utc: Whether to show the time of the insert in UTC, instead of the age.
    """
    now = datetime.now(UTC)
    heads = ["ID", "FLOW", "LABEL", "STANDING", "STEPS", "INSERTED" if in_utc else "AGE"]
    rows = [_cells(workflow, now, in_utc) for workflow in listed]
    if all(workflow.name == workflow.flow for workflow in listed):
        del heads[2]
        for row in rows:
            del row[2]
    place = heads.index("STANDING")
    colours = [COLOURS[workflow.standing] for workflow in listed]
    names = range(1, place)
    return drawn(heads, rows, width=width, cut=names, colours={place: colours})


def drawn(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    cut: Sequence[int] = (),
    colours: Mapping[int, Sequence[str]] | None = None,
) -> str:
    """A table of printable texts.

    Args:
        heads: The headings of the columns.
        rows: The cells, row by row.
        width: The width of the terminal; None cuts nothing.
        cut: The columns that may be cut to fit, the widest first.
        colours: The colour of each row's cell, for some columns.
    """
    widths = [max(columns(row[index]) for row in (heads, *rows)) for index in range(len(heads))]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(cut, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= SHORTEST:
            break
        widths[widest] -= 1
    lines = [click.style(_line(heads, widths), dim=True)]
    for number, row in enumerate(rows):
        cells = [_fitted(text, widths[index]) for index, text in enumerate(row)]
        for index, by_row in (colours or {}).items():
            cells[index] = click.style(cells[index], fg=by_row[number])
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_fitted(text, widths[index]) for index, text in enumerate(row)).rstrip()


def _fitted(text: str, width: int) -> str:
    """Fit a text to a width: pad it, or cut it with an ellipsis."""
    if columns(text) > width:
        dots = terminal.strokes().ellipsis
        while columns(text) + columns(dots) > width:
            text = text[:-1]
        text += dots
    return text + " " * (width - columns(text))


def _cells(workflow: Listed, now: datetime, in_utc: bool) -> list[str]:
    when = moments.text(workflow.inserted_at, in_utc=True) if in_utc else None
    return [
        printable(workflow.short_id),
        printable(workflow.flow),
        printable(workflow.name),
        workflow.standing,
        _steps(workflow),
        when or duration((now - workflow.inserted_at).total_seconds()),
    ]


def _steps(workflow: Listed) -> str:
    """How many steps have settled, and how many of these failed; without those cancelled because an upstream failed."""
    said = f"{workflow.steps - workflow.unsettled:,} of {workflow.steps:,}"
    if workflow.discarded:
        return f"{said}, {workflow.discarded:,} discarded"
    return f"{said}, {workflow.cancelled:,} cancelled" if workflow.cancelled else said
