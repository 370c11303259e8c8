"""Compute the timeout and the backoff of a step for Oban."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from oban import Job

from baton_dsl.runtime.executing.calling import LONGEST, Contained
from baton_dsl.runtime.oban.dispatching import default_backoff
from baton_dsl.runtime.values.raised import described

logger = logging.getLogger(__name__)

type Backoff = float | timedelta | Callable[[int], float | timedelta]


def seconds_of(duration: float | timedelta) -> float:
    """The seconds of a duration."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def backoff_of(backoff: Backoff, job: Job) -> int:
    """Seconds before the next attempt of a job, rounded to whole seconds, as Oban schedules them.

    If the function for the backoff fails, Oban's own pause is used, because the attempt must end in any case.
    """
    try:
        with Contained("backoff"):
            seconds = seconds_of(backoff(job.attempt) if callable(backoff) else backoff)
            return min(max(0, -int(-seconds // 1)), LONGEST)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        what = job.meta.get("workflow_name")
        logger.warning('the backoff of step "%s" failed: %s; the default of Oban is used', what, described(error))
        return default_backoff(job)
