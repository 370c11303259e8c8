"""Which outcomes of an upstream a flow lets pass, call by call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ignores:
    """The `ignore_*` options of a call; None for one that is not given."""

    cancelled: bool | None = None
    discarded: bool | None = None

    def changed_by(self, later: Ignores) -> Ignores:
        """What holds after a later call."""
        return Ignores(
            self.cancelled if later.cancelled is None else later.cancelled,
            self.discarded if later.discarded is None else later.discarded,
        )
