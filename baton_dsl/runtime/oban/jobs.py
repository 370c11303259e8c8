"""How a job is called in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oban import Job


def name_of(job: Job) -> str:
    """A step by its name and its workflow, any other job by its number and its worker."""
    step, workflow = job.meta.get("workflow_name"), job.meta.get("workflow_id")
    return f'step "{step}" of workflow {workflow}' if step and workflow else f"job {job.id} of {job.worker}"
