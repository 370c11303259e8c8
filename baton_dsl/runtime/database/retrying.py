"""How often and how long a statement is retried while the database does not answer."""

from __future__ import annotations

import random
from typing import Final

TRIES: Final = 12
"""Tries of one statement while the database yields no answer: with the pauses below, about half a minute."""
LONGEST_PAUSE: Final = 4.0
"""Seconds between two tries, at the most."""


def pause_after(number: int) -> float:
    """Seconds to wait after the try of this number, from 0: growing, and jittered."""
    longest: float = min(LONGEST_PAUSE, 0.02 * 2.0**number)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
