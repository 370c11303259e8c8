"""Set up the log of `baton worker`: to standard error, as text or JSON, unless the modules set up their own logging."""

from __future__ import annotations

import logging
import sys
from typing import Final

from baton_dsl import logs
from baton_dsl.core.wording import printable_lines
from baton_dsl.runtime.observing import structured

FORMATS: Final = ("text", "json")


class _Text(logs.TextFormatter):
    """Text records, in which control characters from an error or from a row of the database are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record."""
        return printable_lines(super().format(record))


def set_up(level: str, form: str, *, runs_steps: bool = True) -> None:
    """Start logging to standard error.

    If a module of the application has set up logging, its handlers stay, and their records get the fields of steps.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `text` or `json`.
        runs_steps: Whether steps run in this process.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logs.JsonFormatter() if form == "json" else _Text())
        root.addHandler(handler)
        root.setLevel(level.upper())
    for each in root.handlers:
        each.addFilter(logs.StepFields())
    if runs_steps:
        logs.log_steps()
        if "structlog" in sys.modules:
            structured.bind_steps()
