"""Encode and decode the names of steps and hooks that are stored in job rows."""

from __future__ import annotations

from typing import Any, Final

from baton_dsl.errors import StepNotFoundError
from baton_dsl.runtime.values import importing
from baton_dsl.step import Step

MAX_CRASHES: Final = "baton_max_crashes"
"""The key in a job's `meta` for the number of crashes that discard it; default: its number of attempts."""

WORKERS: Final = "baton_dsl.steps."
"""The module from which Oban imports the workers of steps; see `baton_dsl.steps`."""

HOOKS: Final = "baton_dsl.hooks."
"""The module from which Oban imports the workers of hooks; see `baton_dsl.hooks`."""


def worker_name(step: Step[..., Any, Any, Any]) -> str:
    """The `worker` of a step's jobs: `baton_dsl.steps.app/flows:charge` for `charge` in `app/flows.py`.

    Oban splits a worker's name at its dots, hence the slashes.
    """
    return WORKERS + importing.name_of(step.function)


def load_step(path: str) -> Step[..., Any, Any, Any]:
    """Import the step that a job's worker names.

    Args:
        path: The part of the name after `baton_dsl.steps.`, such as `app/flows:charge`.

    Raises:
        StepNotFoundError: BTN501, if its module can't be imported here or has no such step.
    """
    found = importing.find(path, "step")
    if not isinstance(found, Step):
        name, module = path.partition(":")[2].replace("/", "."), importing.module_of(path)
        raise StepNotFoundError(f'"{name}" in module "{module}" is no step but {type(found).__name__}')
    return found


def step_of_worker(name: str) -> Step[..., Any, Any, Any] | None:
    """The step of a job's `worker`; None for a plain Oban worker, or if its code is missing here."""
    if not name.startswith(WORKERS):
        return None
    try:
        return load_step(name.removeprefix(WORKERS))
    except StepNotFoundError:
        return None
