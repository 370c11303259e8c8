"""The name of a job in logs, and the fields of its log records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oban import Job


SKIPPED: Final = "baton_skipped"
"""The key of a job's `extra` that says that its step skipped itself: to Oban it has completed."""

_OUTCOMES: Final = {"scheduled": "snoozed", "retryable": "failed"}
"""Where Oban's state of the job is not how the attempt ended."""


def outcome_of(job: Job, state: str) -> str:
    """How an attempt has ended, of which Oban's telemetry tells the state of its job."""
    if state == "completed" and SKIPPED in job.extra:
        return "skipped"
    return _OUTCOMES.get(state, state)


def name_of(job: Job) -> str:
    """A step by its name and its workflow, any other job by its number and its worker."""
    step, workflow = job.meta.get("workflow_name"), job.meta.get("workflow_id")
    return f'step "{step}" of workflow {workflow}' if step and workflow else f"job {job.id} of {job.worker}"


def fields_of(job: Job) -> dict[str, Any]:
    """What a log line of a job says of it, for who searches logs; a step has the first three, any job the others."""
    meta = job.meta
    fields: dict[str, Any] = {}
    if "workflow_id" in meta:
        fields["workflow_id"] = meta["workflow_id"]
        if "workflow_name" in meta:
            fields["workflow"], fields["step"] = meta.get("workflow_label"), meta["workflow_name"]
    return fields | {
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "queue": job.queue,
        "job_id": job.id,
        "worker": job.worker,
    }
