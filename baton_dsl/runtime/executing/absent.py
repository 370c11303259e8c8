"""Give back jobs whose code this worker lacks, without using an attempt, so that another worker may run them.

While code is deployed, old workers fetch steps that only the new ones know. A call of the function uses an attempt,
nothing else does.
"""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

from oban import Job, Snooze

from baton_dsl.core.wording import shortened
from baton_dsl.errors import StepNotFoundError
from baton_dsl.runtime.oban.jobs import name_of

logger = logging.getLogger(__name__)

ABSENT: Final = "baton_absent"
"""The key of a job's `meta` that says how often it was given back, and why: `{"times", "of", "reason"}`. `of` is the
start of the attempt that was none: what says so is out of date once the job is fetched again."""
LONGEST_PAUSE: Final = 60.0
"""Seconds before a job that was given back is fetched again, at the most."""


def worker_class(error: StepNotFoundError) -> type:
    """A class for Oban to instantiate for a job whose code is not here. It looks for the code again each time."""

    async def process(_self: object, job: Job) -> Snooze:
        return given_back(job, error)

    # A name that is no job's, since Oban remembers the class by it.
    return type("Absent", (), {"__module__": __name__, "__qualname__": "Absent", "process": process})


def given_back(job: Job, error: StepNotFoundError) -> Snooze:
    """Put a job back for a while that grows each time."""
    before = job.meta.get(ABSENT)
    times = (before.get("times", 0) if isinstance(before, dict) else 0) + 1
    pause = pause_of(times)
    logger.warning("%s is given back, and fetched again in %d s at the earliest: %s", name_of(job), pause, error)
    told: dict[str, Any] = {"times": times, "reason": shortened(error.message, 1000), "of": _moment(job.attempted_at)}
    return Snooze(pause, meta={ABSENT: told})


def pause_of(times: int) -> int:
    """Whole seconds, since Oban schedules by these; jittered, so that they don't come together again."""
    longest = min(LONGEST_PAUSE, 2.0 ** min(times, 10))
    return ceil(longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _moment(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat() if when is not None else None
