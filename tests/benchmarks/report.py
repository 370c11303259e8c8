"""What a benchmark says: a measurement, its reference from the same run, their ratio and the goal for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was done.
        measured: How it went, with its unit.
        reference: What it is compared to, and how that went.
        ratio: The comparison as a number: measured over reference, or the other way round where less is better.
        goal: What the ratio, or the measurement, should reach.
    """

    work: str
    measured: str
    reference: str = ""
    ratio: float | None = None
    goal: str = ""


def table(rows: Iterable[Row]) -> str:
    """Rows as aligned text."""
    cells = [("work", "measured", "reference", "ratio", "goal")]
    cells += [
        (row.work, row.measured, row.reference, "" if row.ratio is None else f"{row.ratio:.2f}", row.goal)
        for row in rows
    ]
    widths = [max(len(cell[column]) for cell in cells) for column in range(5)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(cell, widths, strict=True)).rstrip() for cell in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def at_most(rounds: int) -> int:
    """How often to measure: `rounds`, or fewer if the environment variable `ROUNDS` says so."""
    return min(rounds, int(os.environ.get("ROUNDS") or rounds))


def medians(rounds: int, *works: Callable[[], float]) -> list[float]:
    """Each work's median over several rounds, the works taking turns so that noise meets all of them."""
    measured: list[list[float]] = [[] for _ in works]
    for _ in range(at_most(rounds)):
        for values, work in zip(measured, works, strict=True):
            values.append(work())
    return [median(values) for values in measured]


def rate(value: float, unit: str) -> str:
    """A number with thousands separated, and its unit."""
    return f"{value:,.0f} {unit}"
