"""The name of a job in logs, and the fields of its log records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from oban import Job


SKIPPED: Final = "baton_skipped"
"""The key in a job's `extra` that says that its step was skipped: for Oban, the job has completed."""

_OUTCOMES: Final = {"scheduled": "snoozed", "retryable": "failed"}
"""How an attempt ended, where Oban's state of the job does not say so."""


def outcome_of(job: Job, state: str) -> str:
    """How an attempt ended, from the state of its job in Oban's telemetry."""
    if state == "completed" and SKIPPED in job.extra:
        return "skipped"
    return _OUTCOMES.get(state, state)


def name_of(job: Job) -> str:
    """The name of a job: a step with its workflow, or any other job with its id and worker."""
    step, workflow = job.meta.get("workflow_name"), job.meta.get("workflow_id")
    return f'step "{step}" of workflow {workflow}' if step and workflow else f"job {job.id} of {job.worker}"


def fields_of(job: Job) -> dict[str, Any]:
    """The fields of a job's log records. Only steps have the first three."""
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
