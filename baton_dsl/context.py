"""What a step may know of itself while it runs: `StepContext`, injected by its type."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from oban import Job


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The circumstances of one attempt of one step. Annotate any parameter with it to get it.

    Attributes:
        workflow_id: The workflow that this step belongs to.
        workflow_name: The label of the workflow, if it has one.
        step: The name of the step in its flow.
        attempt: 1 for the first try.
        max_attempts: After this many tries the step is discarded.
        model: The name of the model chosen for this step with `models=`, or None.
        debug: Whether the workflow was inserted with `debug=True`.
        upstream: The results of all upstreams by name, decoded when they are read; None where an ignored upstream
            has none.
        job: Oban's job.
        logger: A logger that adds `workflow_id`, `step` and `attempt` to each record.

    Example:
        >>> from baton_dsl import StepContext, step
        >>> @step
        ... def montage(context: StepContext) -> int:
        ...     context.logger.info("joining %d tiles", len(context.upstream))
        ...     return len(context.upstream)
    """

    workflow_id: str
    workflow_name: str | None
    step: str
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
        """The same for every attempt of this step, and for no other: hand it to services that charge or send."""
        return f"{self.workflow_id}:{self.step}"

    def cancelled(self) -> bool:
        """True once somebody has asked to cancel this job: stop at the next safe point and return `oban.Cancel`."""
        return self.cancel_requested()
