"""Give back jobs whose code this worker lacks, without using an attempt, so that another worker may run them.

During a deployment, old workers fetch steps that only the new ones know. Only a call of the function uses an attempt.
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
"""The key in a job's `meta` for how often it was given back, and why: `{"times", "of", "reason"}`. `of` is when the job
was fetched; if it differs from the job's `attempted_at`, the job was fetched again, and the entry is out of date."""
LONGEST_PAUSE: Final = 60.0
"""The most seconds before a job that was given back is fetched again."""


def worker_class(error: StepNotFoundError) -> type:
    """The worker class for a job whose code is missing here. It looks for the code again each time."""

    async def process(_self: object, job: Job) -> Snooze:
        return given_back(job, error)

    # Oban caches classes by name, so the name must not be that of a job's worker.
    return type("Absent", (), {"__module__": __name__, "__qualname__": "Absent", "process": process})


def given_back(job: Job, error: StepNotFoundError) -> Snooze:
    """Snooze a job, each time for longer."""
    before = job.meta.get(ABSENT)
    times = (before.get("times", 0) if isinstance(before, dict) else 0) + 1
    pause = pause_of(times)
    logger.warning("%s is given back, and can be fetched again in %d s: %s", name_of(job), pause, error)
    record: dict[str, Any] = {"times": times, "reason": shortened(error.message, 1000), "of": _moment(job.attempted_at)}
    return Snooze(pause, meta={ABSENT: record})


def pause_of(times: int) -> int:
    """The pause in whole seconds, as Oban schedules them; with jitter, so that jobs don't come back all at once."""
    longest = min(LONGEST_PAUSE, 2.0 ** min(times, 10))
    return ceil(longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _moment(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat() if when is not None else None
