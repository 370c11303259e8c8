"""`context`: make a `StepContext` for the unit test of a step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from oban import Job

from baton_dsl.context import StepContext
from baton_dsl.core import defaults
from baton_dsl.testing.records import UnitJournal


def context(
    *,
    attempt: int = 1,
    max_attempts: int = defaults.MAX_ATTEMPTS,
    model: str | None = None,
    step: str = "step",
    index: int | tuple[int, ...] | None = None,
    workflow_id: str = "test",
    workflow_name: str | None = "test",
    debug: bool = False,
    upstream: Mapping[str, Any] | None = None,
    cancelled: bool | Callable[[], bool] = False,
) -> StepContext:
    """Make the context of one attempt, for a step that a test calls.

    Args:
        attempt: The number of the attempt, from 1.
        max_attempts: The number of attempts after which the step is discarded.
        model: The name of the model chosen for the step.
        step: The name of the step.
        index: The index of the item of a map, a number for each level.
        workflow_id: The id of the workflow.
        workflow_name: The label of the workflow.
        debug: Whether the workflow was inserted with `debug=True`.
        upstream: The value of `StepContext.upstream`.
        cancelled: The result of `StepContext.cancelled()`, or a function that returns it.

    Examples:
        >>> from baton_dsl import Input, StepContext, step
        >>> from baton_dsl.testing import context
        >>> @step
        ... def charge(amount: Input[int], ctx: StepContext) -> str:
        ...     return f"{ctx.model}: {amount} in attempt {ctx.attempt}"
        >>> charge(12, context(attempt=3, model="m"))
        'm: 12 in attempt 3'
    """
    place = (index,) if isinstance(index, int) else index
    job = Job(
        "baton_dsl.testing.Context",
        id=0,
        attempt=attempt,
        max_attempts=max(max_attempts, attempt),
        meta={"workflow_id": workflow_id, "workflow_name": step, "workflow_label": workflow_name},
    )
    extra = {"workflow_id": workflow_id, "step": step, "attempt": attempt}
    return StepContext(
        workflow_id=workflow_id,
        workflow_name=workflow_name,
        step=step,
        index=place,
        attempt=attempt,
        max_attempts=max_attempts,
        model=model,
        debug=debug,
        upstream=dict(upstream or {}),
        job=job,
        logger=logging.LoggerAdapter(logging.getLogger("baton_dsl.step"), extra),
        cancel_requested=cancelled if callable(cancelled) else lambda: cancelled,
        journal=UnitJournal(model),
    )
