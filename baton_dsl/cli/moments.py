"""Print times with their zone: that of this machine, or UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click


def utc(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--utc`, for a command that takes `in_utc`."""
    return click.option("--utc", "in_utc", is_flag=True, help="Show times in UTC instead of this machine's zone.")(
        command
    )


def told(when: datetime, *, in_utc: bool = False) -> str:
    """Format a time to the second, with its zone.

    Example:
        >>> told(datetime(2026, 11, 22, 12, 4, 7, 31, UTC), in_utc=True)
        '2026-11-22 12:04:07 UTC'
    """
    local = when.astimezone(UTC) if in_utc else when.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {zone(local)}"


def zone(when: datetime) -> str:
    """The zone of a time: its name, or the difference to UTC if it has no name.

    Example:
        >>> from datetime import timedelta, timezone
        >>> zone(datetime(2026, 1, 1, tzinfo=UTC)), zone(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))))
        ('UTC', '+02:00')
    """
    name = when.tzname() or ""
    return name if name.isalpha() else f"{when:%:z}"
