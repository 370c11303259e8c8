"""The budget of a run in memory: what its attempts reserve before they start, as the database counts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from baton_dsl.runtime.usage.entries import UsageEntry


@dataclass(slots=True)
class Reservation:
    """What one attempt has reserved.

    Attributes:
        attempt: Which attempt of its job it is.
        amount: How much it reserved.
        used: How much of that its calls have cost so far.
    """

    attempt: int
    amount: Decimal
    used: Decimal = Decimal(0)


@dataclass(slots=True)
class Budget:
    """What the calls of models of one workflow may cost, and what they have cost.

    Attributes:
        limit: The budget; None if the workflow has none.
        spent: What counts against it: also what a call without a known cost had reserved.
        reservations: What attempts have reserved, by the ids of their jobs.
    """

    limit: Decimal | None
    spent: Decimal = Decimal(0)
    reservations: dict[int, Reservation] = field(default_factory=dict)

    def reserved(self, running: dict[int, int]) -> Decimal:
        """What the attempts that run have reserved and not used.

        Args:
            running: The attempts that run, by the ids of their jobs.
        """
        return sum(
            (
                max(it.amount - it.used, Decimal(0))
                for job_id, it in self.reservations.items()
                if running.get(job_id) == it.attempt
            ),
            Decimal(0),
        )

    def is_enough_for(self, amount: Decimal, running: dict[int, int]) -> bool:
        """Whether an attempt may start; one that reserves nothing may start while anything is left."""
        if self.limit is None:
            return True
        room = self.limit - self.spent - self.reserved(running)
        return amount <= room if amount else room > 0

    def reserve(self, job_id: int, attempt: int, amount: Decimal) -> None:
        """An attempt starts."""
        self.reservations[job_id] = Reservation(attempt, amount)

    def charge(self, entry: UsageEntry) -> None:
        """A call of a model counts as what it cost, or as what is left of what its attempt had reserved."""
        if self.limit is None:
            return
        reservation = self.reservations.get(entry.place.job_id)
        if reservation is not None and reservation.attempt != entry.place.attempt:
            reservation = None
        charge = entry.usage.cost
        if charge is None:
            charge = Decimal(0) if reservation is None else max(reservation.amount - reservation.used, Decimal(0))
        if reservation is not None:
            reservation.used += charge
        self.spent += charge
