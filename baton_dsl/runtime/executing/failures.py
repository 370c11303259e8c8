"""The log of a node: a line for each attempt that failed, and the traceback when none is left."""

from __future__ import annotations

import logging
from typing import Any, Final

from oban import telemetry

from baton_dsl.core.wording import last_exception, printable
from baton_dsl.runtime.oban.jobs import name_of

logger = logging.getLogger(__name__)

EVENTS: Final = ["oban.job.exception"]
"""What is listened to."""


def log_failures() -> None:
    """Log from now on each attempt of a job of this process that fails: a warning, or an error if it was the last."""
    telemetry.attach("baton-failures", EVENTS, _log)


def _log(_event: str, told: dict[str, Any]) -> None:
    job, traceback = told["job"], told["traceback"] or told["error_message"]
    told_of = f"{name_of(job)} failed in attempt {job.attempt} of {job.max_attempts}: {last_exception(traceback)}"
    line = printable(told_of)
    if told["state"] == "discarded":
        logger.error("%s\n%s", line, traceback.rstrip())
    else:
        logger.warning("%s", line)
