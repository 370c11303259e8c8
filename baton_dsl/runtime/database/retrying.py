"""How often, and with which pauses, a statement is retried while the database does not answer."""

from __future__ import annotations

import random
from typing import Final

TRIES: Final = 12
"""The most tries of one statement while the database does not answer: about half a minute with the pauses below."""
LONGEST_PAUSE: Final = 4.0
"""The most seconds between two tries."""


def pause_after(number: int) -> float:
    """Seconds to wait after a try, whose number counts from 0. The pauses grow and have jitter."""
    longest: float = min(LONGEST_PAUSE, 0.02 * 2.0**number)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
