"""The limits on how much data one step may pass to another."""

from __future__ import annotations

import os


def result_limit() -> int:
    """The most bytes of JSON of one result: `BATON_RESULT_LIMIT`, or 16 MiB.

    Raises:
        ValueError: If `BATON_RESULT_LIMIT` is not a number of bytes.
    """
    return _bytes("BATON_RESULT_LIMIT", 16 * 1024 * 1024)


def fan_in_limit() -> int:
    """The most bytes of JSON that a step takes as the list of a map's results: `BATON_FAN_IN_LIMIT`, or 512 MiB.

    PostgreSQL's own limit is a little below 1 GiB.

    Raises:
        ValueError: If `BATON_FAN_IN_LIMIT` is not a number of bytes.
    """
    return _bytes("BATON_FAN_IN_LIMIT", 512 * 1024 * 1024)


def _bytes(name: str, default: int) -> int:
    given = os.environ.get(name, "")
    if not given:
        return default
    if not given.isdecimal():
        raise ValueError(f"{name} must be a whole number of bytes, got {given!r}")
    return int(given)
