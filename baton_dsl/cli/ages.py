"""Parse and print ages such as `90s`, `15m`, `12h`, `30d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE: Final = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(_UNITS)}])")

LONGEST: Final = timedelta(days=1_000_000)
"""The oldest age that is accepted: PostgreSQL's calendar begins in 4713 BC."""


if TYPE_CHECKING:
    _Type = click.ParamType[timedelta]
else:
    _Type = click.ParamType  # before click 8.4 it is not generic


class Age(_Type):
    """A number and a unit.

    Examples:
        >>> Age().convert("90m", None, None)
        datetime.timedelta(seconds=5400)
    """

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        found = _AGE.fullmatch(str(value))
        if found is None:
            self.fail(f"write a number and a unit, as 90s, 15m, 12h, 30d or 2w; got {value!r}", param, ctx)
        try:
            age = timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            age = timedelta.max
        if age > LONGEST:
            self.fail(f"{value} is too long: at most {LONGEST.days:,} days", param, ctx)
        return age


AGE: Final = Age()


def written(age: timedelta) -> str:
    """Format an age so that `Age` can parse it.

    Examples:
        >>> written(timedelta(days=30))
        '2592000s'
    """
    return f"{age.total_seconds():g}s" if age.total_seconds() % 1 else f"{age.total_seconds():.0f}s"
