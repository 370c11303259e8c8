"""How moments, durations and errors are told to people."""

from __future__ import annotations

from datetime import datetime


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
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


def moment(when: datetime, now: datetime) -> str:
    """A moment on the clock of `now`; with its date, if that is another day.

    Example:
        >>> from datetime import UTC
        >>> noon = datetime(2026, 11, 22, 12, 4, tzinfo=UTC)
        >>> moment(noon, noon), moment(noon, noon.replace(day=23))
        ('12:04:00', '2026-11-22 12:04:00')
    """
    local = when.astimezone(now.tzinfo)
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d %H:%M:%S}"


def last_exception(error: str | None) -> str:
    r"""The exception that a stored error ends with, on one line: without its traceback, whose lines are indented.

    Example:
        >>> last_exception("Traceback (most recent call last):\n  File ...\nRuntimeError: no route\nto the office")
        'RuntimeError: no route'
    """
    message = ""
    for line in reversed((error or "").splitlines()):
        if message and line.startswith((" ", "Traceback ")):
            break
        message = line.strip() or message
    return message[:200]


def storable(text: str) -> str:
    r"""A text as PostgreSQL can store it: NUL characters and lone surrogates stand there escaped.

    Example:
        >>> print(storable("no \0 stock"))
        no \x00 stock
    """
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
