"""Log attempts: a line for the start and for the end of each, with its fields."""

from __future__ import annotations

import logging
from typing import Any, Final

from oban import Job, telemetry

from baton_dsl.core.tracebacks import folded
from baton_dsl.core.wording import duration, last_exception, printable, printable_lines
from baton_dsl.runtime.oban.jobs import fields_of, name_of, outcome_of

logger = logging.getLogger("baton_dsl.steps")

_ID: Final = "baton-step-log"
_SECOND: Final = 1_000_000_000
"""A second in nanoseconds, the unit of Oban's telemetry."""


def log_steps() -> None:
    """Start to log what the Oban instances of this process run.

    Each attempt logs its start and its end at level info. A failed attempt logs a warning, and the last one an error
    with its traceback, in which the frames of baton-dsl and Oban are folded. Each record has the fields `workflow_id`,
    `workflow`, `step`, `attempt`, `max_attempts`, `queue` and `job_id`; that of the end also has `outcome`, and
    `duration` and `queue_time` in seconds.

    Levels that are off for the logger `baton_dsl.steps` cost nothing.
    """
    telemetry.detach(_ID)
    events = ["oban.job.exception"]
    if logger.isEnabledFor(logging.INFO):
        events += ["oban.job.start", "oban.job.stop"]
    telemetry.attach(_ID, events, _log)


def _log(event: str, data: dict[str, Any]) -> None:
    job: Job = data["job"]
    if event == "oban.job.start":
        fields = fields_of(job)
        logger.info("%s starts, attempt %d of %d", printable(name_of(job)), job.attempt, job.max_attempts, extra=fields)
        return
    took, waited = data["duration"] / _SECOND, data["queue_time"] / _SECOND
    fields = {
        **fields_of(job),
        "outcome": (outcome := outcome_of(job, data["state"])),
        "duration": round(took, 6),
        "queue_time": round(waited, 6),
    }
    if event == "oban.job.stop":
        logger.info(
            "%s %s in %s, after %s in the queue",
            printable(name_of(job)),
            _WORDS.get(outcome, outcome),
            duration(took),
            duration(waited),
            extra=fields,
        )
        return
    traceback = data["traceback"] or data["error_message"]
    fields["error"] = last_exception(traceback)
    said = f"{name_of(job)} failed in attempt {job.attempt} of {job.max_attempts}: {fields['error']}"
    if data["state"] == "discarded":
        logger.error("%s\n%s", printable(said), printable_lines(folded(traceback.rstrip())), extra=fields)
    else:
        logger.warning("%s", printable(said), extra=fields)


_WORDS: Final = {"cancelled": "was cancelled", "snoozed": "put itself off", "skipped": "skipped itself"}
