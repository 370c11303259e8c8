"""The state of one node of a workflow, as the model in `lifecycle.py` changes it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import Final

from baton_dsl.core.defaults import MAX_ITEMS


class State(StrEnum):
    """The states of an Oban job, and `GONE` for one that was deleted or pruned."""

    SUSPENDED = "suspended"
    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    GONE = "gone"

    @property
    def is_final(self) -> bool:
        """True if a job in this state has ended."""
        return self in _FINAL

    @property
    def is_queued(self) -> bool:
        """True if a job in this state starts by itself, now or later."""
        return self in _QUEUED


_FINAL = frozenset([State.COMPLETED, State.CANCELLED, State.DISCARDED])
_QUEUED = frozenset([State.SCHEDULED, State.AVAILABLE, State.RETRYABLE])


class Outcome(StrEnum):
    """How a node or a workflow ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    SKIPPED = "skipped"


ENDED: Final = frozenset([Outcome.CANCELLED, Outcome.DISCARDED])
"""How a node settles that neither completed nor was skipped."""


def runs_behind(outcome: str, *, ignore_cancelled: bool, ignore_discarded: bool) -> bool:
    """Whether a node runs though an upstream ended so; of a skipped one, whether it needs its result decides that."""
    match outcome:
        case Outcome.CANCELLED:
            return ignore_cancelled
        case Outcome.DISCARDED:
            return ignore_discarded
        case _:
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """What a map maps over.

    Attributes:
        sources: For each mapped parameter, the node whose items it takes; None for a value.
        values: For each mapped parameter, the value.
        levels: How many levels of collections it maps over.
        is_product: Whether several collections are combined as a product; otherwise they are zipped.
        most: The most items it may have.
        window: How many of its items may run at once.
        least: How many of its items must succeed.
        share: What share of its items must succeed.
    """

    sources: tuple[str | None, ...]
    values: tuple[object, ...]
    levels: int = 1
    is_product: bool = False
    most: int = MAX_ITEMS
    window: int | None = None
    least: int | None = None
    share: float | None = None

    def demanded(self, items: int) -> int:
        """How many of a number of items must succeed."""
        if self.least is not None:
            return self.least
        return items if self.share is None else ceil(Decimal(str(self.share)) * items)


@dataclass(slots=True, kw_only=True)
class Node:
    """One step of one workflow, a map, or an item of one.

    Attributes:
        upstreams: The names of the nodes that it waits for.
        ignore_cancelled: Whether it runs although an upstream was cancelled.
        ignore_discarded: Whether it runs although an upstream was discarded.
        state: The state of its job.
        is_later: Whether its job is scheduled for a later time.
        outcome: How it settled; None until then.
        by_upstream: Whether it was cancelled or skipped because of an upstream, not by itself.
        optional: The upstreams that may be skipped without this node being skipped too.
        result: What its function returned.
        over: What it maps over; None if it is not a map. A map has no job: its state is `GONE`.
        items: How many children a map has; None until it has expanded.
        parent: The map that it is a child of.
        root: The outermost map that it is a descendant of.
        is_held: Whether it waits for a place in the window of its root; None if the root has no window.
    """

    upstreams: tuple[str, ...] = ()
    ignore_cancelled: bool = False
    ignore_discarded: bool = False
    state: State = State.SUSPENDED
    is_later: bool = False
    outcome: Outcome | None = None
    by_upstream: bool = False
    optional: frozenset[str] = frozenset()
    result: object = None
    over: Over | None = None
    items: int | None = None
    parent: str | None = None
    root: str | None = None
    is_held: bool | None = None

    @property
    def is_map(self) -> bool:
        """True if it has children instead of a job."""
        return self.over is not None

    def maps_over(self, upstream: str) -> bool:
        """True if it is a map over that node."""
        return self.over is not None and upstream in self.over.sources

    def ignores(self, outcome: Outcome, upstream: str) -> bool:
        """True if this node may run although the upstream ended with that outcome."""
        if outcome is Outcome.SKIPPED:
            return upstream in self.optional
        return runs_behind(outcome, ignore_cancelled=self.ignore_cancelled, ignore_discarded=self.ignore_discarded)
