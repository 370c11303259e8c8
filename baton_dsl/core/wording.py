"""Format times, durations, amounts and errors for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final


def duration(seconds: float) -> str:
    """Format seconds for people.

    Examples:
        >>> [duration(seconds) for seconds in (0.08, 2.5, 185, 7260, 300_000)]
        ['80 ms', '2.5 s', '3 min 5 s', '2 h 1 min', '3 d 11 h']
    """
    if seconds < 0.995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def suggestion(nearest: str | None) -> str:
    """The question about a misspelt name, or nothing if no known name is near.

    Examples:
        >>> suggestion("orders"), suggestion(None)
        ('did you mean "orders"?', '')
    """
    return f'did you mean "{nearest}"?' if nearest else ""


def suggestion_after(nearest: str | None) -> str:
    """The same question, to be appended to a sentence.

    Examples:
        >>> 'there is no step "order"' + suggestion_after("orders")
        'there is no step "order"; did you mean "orders"?'
    """
    return f"; {suggestion(nearest)}" if nearest else ""


def counted(number: int, noun: str) -> str:
    """A number of things.

    Examples:
        >>> counted(1, "step"), counted(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Format a number of bytes for people.

    Examples:
        >>> [size(count) for count in (0, 999, 1000, 8192, 999_960, 3_200_000, 45_000_000_000)]
        ['0 B', '999 B', '1.0 kB', '8.2 kB', '1.0 MB', '3.2 MB', '45.0 GB']
    """
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:,.1f} TB"


def moment(when: datetime, now: datetime) -> str:
    """Format a time in the time zone of `now`, with the zone's name, and with the date if it is on another day.

    Examples:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 11, 22, 12, 4, tzinfo=UTC)
        >>> moment(noon, noon), moment(noon, noon.replace(day=23))
        ('12:04:00 UTC', '2026-11-22 12:04:00 UTC')
    """
    local = when.astimezone(now.tzinfo)
    day = "" if local.date() == now.date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S} {zone(local)}"


def zone(when: datetime) -> str:
    """The time zone of a moment: its name, or its offset from UTC if it has no name.

    Example:
        >>> from datetime import UTC, timedelta, timezone
        >>> zone(datetime(2026, 1, 1, tzinfo=UTC)), zone(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))))
        ('UTC', '+02:00')
    """
    name = when.tzname() or ""
    return name if name.isalpha() else f"{when:%:z}"


def money(amount: Decimal) -> str:
    """Format an amount: two digits behind the point, or up to six if they are not zero.

    Example:
        >>> [money(Decimal(text)) for text in ("5", "0.5", "0.00321000", "0.00000012", "1E+3")]
        ['5.00', '0.50', '0.00321', '0.000001', '1000.00']
    """
    smallest = Decimal("0.000001")
    rounded = smallest if 0 < amount < smallest else round(amount, 6)
    whole, _, digits = format(rounded, "f").partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def beyond_budget(amount: Decimal, budget: Decimal, spent: Decimal, reserved: Decimal) -> str:
    """Why a step waits for the budget.

    Args:
        amount: The amount that it would reserve.
        budget: The budget.
        spent: How much of it is spent.
        reserved: How much of it others have reserved.
    """
    left = budget - spent - reserved
    needs = f"would cost up to {money(amount)}" if amount else "has a model"
    rest = f"{money(max(left, Decimal(0)))} is left of the budget of {money(budget)}"
    if reserved and amount <= budget - spent:
        return f"{needs}, and {rest} until steps end that have reserved {money(reserved)} of it"
    return f"{needs}, and {rest}: approve more with baton approve ID --budget {money(max(spent, Decimal(0)) + amount)}"


def last_exception(error: str | None) -> str:
    r"""The exception at the end of a stored error, on one line: without its traceback, and only its first line.

    The further lines are often long and less useful, such as SQLAlchemy's statement or pydantic's link. For an
    exception group, the line names the group and its first exception.

    Examples:
        >>> last_exception("Traceback (most recent call last):\n  File ...\nRuntimeError: no route\nto the office")
        'RuntimeError: no route'
    """
    return (_raised(error or "") or _first_line(error or ""))[:200]


def without_traceback(error: str) -> str:
    r"""The text of a raised exception, without its traceback. A text without a traceback is returned as it is.

    Examples:
        >>> without_traceback("Traceback (most recent call last):\n  File ...\nRuntimeError: no route\n")
        'RuntimeError: no route'
        >>> without_traceback("no stock,\nno order")
        'no stock,\nno order'
    """
    return _raised(error) or error


def _raised(error: str) -> str:
    """The line of the exception at the end of a traceback; empty if there is no traceback."""
    lines = error.splitlines()
    tracebacks = [(number, margin) for number, line in enumerate(lines) if (margin := _margin(line)) is not None]
    outermost = [number for number, margin in tracebacks if len(margin) <= len(_GROUP)]
    if not outermost:
        return ""
    own, *inner = (_headline(lines[number:], margin) for number, margin in tracebacks if number >= outermost[-1])
    return ": ".join([own, *inner[:1]])


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


_GROUP: Final = "  | "
"""The prefix of each line of an exception group; nested groups have a longer one."""

_TRACEBACK: Final = re.compile(r"([ |]*)(  \+ Exception Group )?Traceback \(most recent call last\):$")


def _margin(line: str) -> str | None:
    """The prefix of the lines of a traceback that begins on this line; None if none begins here."""
    match = _TRACEBACK.match(line)
    return (_GROUP if match[2] else match[1]) if match else None


def _headline(lines: Sequence[str], margin: str) -> str:
    """The first line of the exception, which follows the indented frames."""
    below = (line.removeprefix(margin) for line in lines[1:] if line.startswith(margin))
    return next((line for line in below if line.strip() and not line.startswith(" ")), "").rstrip()


def storable(text: str) -> str:
    r"""Make a text storable in PostgreSQL: escape NUL characters and lone surrogates.

    Examples:
        >>> print(storable("no \0 stock"))
        no \x00 stock
    """
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def unstorable(text: str) -> str | None:
    r"""Why PostgreSQL can't store a text, so that no name in a database equals it; None if it can.

    Examples:
        >>> unstorable("a\0b"), unstorable("\udcff"), unstorable("b")
        ('it has a NUL character', 'it is no Unicode', None)
    """
    if "\0" in text:
        return "it has a NUL character"
    return None if text.isascii() or not any("\ud800" <= it <= "\udfff" for it in text) else "it is no Unicode"


def printable(text: str) -> str:
    r"""Escape the characters of a text that would move the cursor, hide text or change the writing direction.

    Every text from the database or from an error must go through this before it is shown.

    Examples:
        >>> print(printable("no \x1b[31m stock\u202e"))
        no \x1b[31m stock\u202e
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """The same for a text of several lines: line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


LONGEST_ERROR: Final = 64 * 1024
"""How many bytes of the text of an error are stored."""


def shortened(text: str, most: int = LONGEST_ERROR) -> str:
    r"""Make a text storable in PostgreSQL and cut it to a size: head, tail, and a line that says how much is left out.

    Examples:
        >>> shortened("no stock"), len(shortened("x" * 10**6))
        ('no stock', 65523)
        >>> print(shortened("a" * 500 + "b" * 500, 120))
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          ... 936 characters are left out ...
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    """
    if len(text) <= most:
        stored = storable(text)
        if len(stored.encode()) <= most:
            return stored
    half = (most - _ROOM) // 2
    head, tail = text[:half], text[-half:]
    if len(storable(head).encode()) > half:
        head = head[: half // _WIDEST]
    if len(storable(tail).encode()) > half:
        tail = tail[-(half // _WIDEST) :]
    frame_end = tail.find("\n") + 1
    if frame_end < len(tail) // 2:  # continue a traceback with a whole line
        tail = tail[frame_end:]
    left = len(text) - len(head) - len(tail)
    return f"{storable(head)}\n  ... {left:,} characters are left out ...\n{storable(tail)}"


_ROOM: Final = 56
"""The bytes reserved for the line between head and tail."""
_WIDEST: Final = 6
"""The most bytes of one character: an escaped lone surrogate."""
