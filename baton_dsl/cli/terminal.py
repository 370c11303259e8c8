"""What a terminal can show, and a drawing in its colours."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Final, TextIO

import click

from baton_dsl.core.drawing import ASCII, UNICODE, Drawing, Strokes, columns

COLOURS: Final = {
    "suspended": "bright_black",
    "scheduled": "magenta",
    "available": "blue",
    "executing": "yellow",
    "retryable": "yellow",
    "completed": "green",
    "cancelled": "bright_black",
    "discarded": "red",
    "skipped": "bright_black",
}
"""Of each state, out of the eight that every terminal has."""


def width() -> int:
    """The columns of the terminal; 100 in a pipe."""
    return shutil.get_terminal_size((100, 40)).columns


def height() -> int:
    """The lines of the terminal; 40 in a pipe."""
    return shutil.get_terminal_size((100, 40)).lines


def strokes(stream: TextIO | None = None) -> Strokes:
    """The strokes that a stream can encode; standard output if none is given."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        "".join((*UNICODE.states.values(), UNICODE.rail, UNICODE.ellipsis)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def is_live(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can be drawn over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def coloured(
    drawing: Drawing, states: Mapping[str, str] | None = None, remarks: Mapping[str, str] | None = None
) -> str:
    """A drawing with colours; `click.echo` takes them away where they don't belong, as in a pipe."""
    lines = drawing.lines(states, remarks)
    labels = max((columns(line.label) for line in lines if line.remark), default=0)
    drawn = []
    for line in lines:
        rails = click.style(line.rails, fg="bright_black")
        if line.at is not None:
            before, own, after = line.rails[: line.at], line.rails[line.at], line.rails[line.at + 1 :]
            glyph = click.style(own, fg=COLOURS.get(line.state or "", "cyan"), bold=True)
            rails = click.style(before, fg="bright_black") + glyph + click.style(after, fg="bright_black")
        label = click.style(line.label, dim=line.state in ("suspended", "cancelled"))
        remark = click.style(line.remark, fg="red" if line.state == "discarded" else "bright_black")
        gap = " " * (labels - columns(line.label) + 2) if line.remark else ""
        drawn.append(f"{rails}  {label}{gap}{remark if line.remark else ''}")
    return "\n".join(drawn)
