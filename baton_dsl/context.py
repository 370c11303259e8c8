"""What a step may know of itself while it runs: `StepContext`, injected by its type."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Never, final

if TYPE_CHECKING:
    from oban import Job


@final
@dataclass(frozen=True, slots=True)
class Skip:
    """What a step returns instead of a result when there is nothing to do: a branch that is not taken.

    What waits for the step is skipped with it, unless its parameter for it accepts None. Order alone (`after`, `deps`)
    hands nothing on.

    Attributes:
        reason: Why; it is kept with the node.

    Examples:
        >>> from baton_dsl import Flow, Skip, step
        >>> @step
        ... def fetch_discount() -> float | Skip:
        ...     return Skip("no discount this month")
        >>> @step
        ... def price(fetch_discount: float | None) -> float:
        ...     return 12.5 * (1 - (fetch_discount or 0))
        >>> Flow("shop", fetch_discount, price).validate()
        ['fetch_discount', 'price']
    """

    reason: str = ""


class StepEnded(BaseException):
    """Carries `StepContext.cancel`, `snooze` and `skip` to the worker, past every `except Exception`.

    Attributes:
        reason: Why the step is cancelled; None for a snooze and a skip.
        seconds: After how long it runs again; None for a cancellation and a skip.
        skip: What the step would have returned; None for a cancellation and a snooze.
    """

    def __init__(self, *, reason: str | None = None, seconds: int | None = None, skip: Skip | None = None) -> None:
        said = skip.reason if skip is not None else reason
        super().__init__(said if said is not None else f"snoozed for {seconds} s")
        self.reason = reason
        self.seconds = seconds
        self.skip = skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The circumstances of one attempt of one step. Annotate any parameter with it to get it.

    Attributes:
        workflow_id: The workflow that this step belongs to.
        workflow_name: The label of the workflow, if it has one.
        step: The name of the step in its flow.
        index: Which item of a map this is, a number for each level: `(3,)`; None for a step that is not mapped.
        attempt: 1 for the first try.
        max_attempts: After this many tries the step is discarded.
        model: The name of the model chosen for this step with `models=`, or None.
        debug: Whether the workflow was inserted with `debug=True`.
        upstream: The results of all upstreams by name, decoded when they are read; None where an ignored upstream
            has none.
        job: Oban's job.
        logger: A logger that adds `workflow_id`, `step` and `attempt` to each record.

    Examples:
        >>> from baton_dsl import StepContext, step
        >>> @step
        ... def montage(context: StepContext) -> int:
        ...     context.logger.info("joining %d tiles", len(context.upstream))
        ...     return len(context.upstream)
    """

    workflow_id: str
    workflow_name: str | None
    step: str
    index: tuple[int, ...] | None = None
    attempt: int
    max_attempts: int
    model: str | None
    debug: bool
    upstream: Mapping[str, Any]
    job: Job
    logger: logging.LoggerAdapter[logging.Logger]
    cancel_requested: Callable[[], bool]

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step (and item), and for no other: for services that charge or send."""
        item = "" if self.index is None else f"[{','.join(map(str, self.index))}]"
        return f"{self.workflow_id}:{self.step}{item}"

    def cancelled(self) -> bool:
        """True once somebody has asked to cancel this job: stop at the next safe point and return `oban.Cancel`."""
        return self.cancel_requested()

    def cancel(self, reason: str) -> Never:
        """End this step as cancelled, at once and without another attempt.

        The same as returning `oban.Cancel`, for a step whose return annotation says what it returns.

        Args:
            reason: Why; stored with the job.
        """
        raise StepEnded(reason=reason)

    def snooze(self, delay: float | timedelta) -> Never:
        """End this attempt, and run the step again later without counting it.

        The same as returning `oban.Snooze`, for a step whose return annotation says what it returns.

        Args:
            delay: Seconds, rounded up to whole ones, or a timedelta.
        """
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        raise StepEnded(seconds=ceil(seconds))

    def skip(self, reason: str = "") -> Never:
        """End this step as skipped, at once: a branch that is not taken.

        The same as returning `Skip`, from anywhere below the step's function.

        Args:
            reason: Why; it is kept with the node.
        """
        raise StepEnded(skip=Skip(reason))
