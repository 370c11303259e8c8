"""What holds for a step that does not say otherwise."""

from __future__ import annotations

from typing import Final

QUEUE: Final = "default"
"""Its queue, and that of the hooks of a flow."""

MAX_ATTEMPTS: Final = 20
"""How many attempts it has before it is discarded: as many as any job of Oban."""

PRIORITY: Final = 0
"""Its priority in its queue: the highest."""

MAX_ITEMS: Final = 100_000
"""How many items a map may have."""
