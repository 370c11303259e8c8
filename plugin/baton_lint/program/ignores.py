"""The `ignore_*` options of a flow, by the calls that set them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ignores:
    """The `ignore_*` options of a call; None for one that is not set."""

    cancelled: bool | None = None
    discarded: bool | None = None

    def changed_by(self, later: Ignores) -> Ignores:
        """The options after a later call."""
        return Ignores(
            self.cancelled if later.cancelled is None else later.cancelled,
            self.discarded if later.discarded is None else later.discarded,
        )
