"""What a terminal can display, and drawings in colour."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import click
from pydantic_core import to_json

from baton_dsl.core.drawing import ASCII, UNICODE, Drawing, Strokes, columns
from baton_dsl.core.wording import printable_lines

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
"""The colour of each state: one of the eight that every terminal has."""


def echo(text: str, *, err: bool = False) -> None:
    """Print a text. Characters that are not printable are escaped, except line breaks.

    Everything that `baton` prints goes through here; coloured text goes through `echo_coloured`.
    """
    click.echo(printable_lines(text), err=err)


def echo_coloured(text: str, *, err: bool = False) -> None:
    """Print a text with our colours. Text from elsewhere in it must have gone through `printable`."""
    click.echo(text, err=err)


def echo_json(value: Any) -> None:
    """Print a value as JSON. Characters that are not printable are escaped."""
    echo(as_json(value))


def as_json(value: Any) -> str:
    """A value as indented JSON. Characters that are not printable are escaped."""
    return "\n".join(map(_as_json, to_json(value, indent=2).decode().split("\n")))


def _as_json(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(it if it.isprintable() else json.dumps(it)[1:-1] for it in line)


class Formatter(logging.Formatter):
    """Formats log records, and escapes control characters from errors of steps and rows of the database."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record."""
        return printable_lines(super().format(record))


def width() -> int:
    """The width of the terminal in columns; 100 in a pipe."""
    return shutil.get_terminal_size((100, 40)).columns


def height() -> int:
    """The height of the terminal in lines; 40 in a pipe."""
    return shutil.get_terminal_size((100, 40)).lines


def strokes(stream: TextIO | None = None) -> Strokes:
    """The characters for lines that a stream can encode; default: standard output."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        "".join((*UNICODE.states.values(), UNICODE.rail, UNICODE.ellipsis)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def is_live(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which a drawing can be updated in place."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def coloured(
    drawing: Drawing, states: Mapping[str, str] | None = None, remarks: Mapping[str, str] | None = None
) -> str:
    """A drawing with colours, which `click.echo` removes if the output is no terminal."""
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
