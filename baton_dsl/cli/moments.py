"""Print times with their zone: that of this machine, or UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from baton_dsl.core.wording import zone


def utc(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--utc`, for a command that takes `in_utc`."""
    return click.option("--utc", "in_utc", is_flag=True, help="Show times in UTC instead of this machine's zone.")(
        command
    )


def text(when: datetime, *, in_utc: bool = False) -> str:
    """Format a time to the second, with its zone.

    Example:
        >>> text(datetime(2026, 11, 22, 12, 4, 7, 31, UTC), in_utc=True)
        '2026-11-22 12:04:07 UTC'
    """
    local = when.astimezone(UTC) if in_utc else when.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {zone(local)}"
