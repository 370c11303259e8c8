"""Choose other models for the steps that a retry runs again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql

from baton_dsl.core.rules.model_option import wrong_models
from baton_dsl.errors import BatonError, RetryError, StepNotInWorkflowError
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter

_REFUSED: Final = "BT415"
"""The SQLSTATE that `baton_retry_models` raises."""

_HAVE_ONE: Final = sql.SQL("""
    SELECT node.workflow_id, node.step_name AS step
    FROM baton.workflow_nodes AS node JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.map_id IS NULL AND job.args ? 'workflow_model'
    UNION ALL
    SELECT node.workflow_id, node.step_name
    FROM baton.workflow_nodes AS node
    WHERE node.is_map AND node.map_id IS NULL AND node.mapping -> 'args' ? 'workflow_model'
    UNION ALL
    SELECT node.workflow_id, node.step_name || '[' || item.place - 1 || ']'
    FROM baton.workflow_nodes AS node
    CROSS JOIN LATERAL json_array_elements(node.item -> 0) WITH ORDINALITY AS item(model, place)
    WHERE node.is_map AND node.parameters = ARRAY['workflow_model']
""")
"""The nodes whose model can be changed: steps with one model, and the items of steps with several."""

_WITHOUT: Final = sql.SQL("""
    SELECT chosen.workflow_id, given.step, EXISTS (
        SELECT FROM baton.workflow_nodes AS node
        WHERE node.workflow_id = chosen.workflow_id AND node.step_name = given.step
    ) AS is_there
    FROM (SELECT workflow_id FROM baton.baton_workflows WHERE {which}) AS chosen
    CROSS JOIN unnest(%(steps)s::text[]) AS given(step)
    WHERE NOT EXISTS (
        SELECT FROM ({have_one}) AS found WHERE found.workflow_id = chosen.workflow_id AND found.step = given.step
    )
    ORDER BY chosen.workflow_id, given.step
    LIMIT 1
""")

_KNOWN: Final = sql.SQL(
    "SELECT found.step FROM ({have_one}) AS found WHERE found.workflow_id = %(workflow_id)s ORDER BY found.step"
)


def check(models: Mapping[str, str]) -> None:
    """Check the names of steps and models.

    Raises:
        RetryError: BTN415, if one is not a valid name of a model.
        StepNotInWorkflowError: BTN408, if one can't be the name of a step.
    """
    for step, model in models.items():
        StepNotInWorkflowError.refuse_unstorable(step)
        given: object = model
        expected = wrong_models(given) if isinstance(given, str) else "the name of one model"
        if expected is not None:
            raise RetryError(
                f'the model of "{step}" must be {expected}, got {given!r:.60}',
                remedy='of a step of several models, name the item that changes: {"assess[1]": "openai:c"}',
            )


def unfit(which: WorkflowFilter, models: Mapping[str, str]) -> Reading[BatonError | None]:
    """Why models can't be chosen for these steps; None if they can."""
    conditions, values = which.conditions
    rows = yield _WITHOUT.format(which=conditions, have_one=_HAVE_ONE), {**values, "steps": list(models)}
    if not rows:
        return None
    workflow_id, step = rows[0]["workflow_id"], rows[0]["step"]
    known = yield _KNOWN.format(have_one=_HAVE_ONE), {"workflow_id": workflow_id}
    return unchangeable(workflow_id, step, [row["step"] for row in known], is_there=rows[0]["is_there"])


def unchangeable(workflow_id: str, step: str, known: list[str], *, is_there: bool) -> BatonError:
    """The error for a step whose model can't be changed: it does not exist, or has no model or several."""
    if not is_there:
        if not known:
            return StepNotInWorkflowError(
                f'workflow "{workflow_id}" has no step "{step}"', remedy="none of its steps has a model"
            )
        return StepNotInWorkflowError.among(workflow_id, step, known)
    several = [name for name in known if name.startswith(f"{step}[")]
    if several:
        return RetryError(
            f'step "{step}" of workflow "{workflow_id}" runs with several models: one of them can be changed',
            remedy=f'name its item: "{several[0]}"',
        )
    return RetryError(
        f'"{step}" of workflow "{workflow_id}" has no model of its own, so there is none to change',
        remedy="choose one where the workflow is inserted: flow.options(models=...), also for workflow.rerun(flow)",
    )


@contextmanager
def explained() -> Iterator[None]:
    """Turn the database's error into our own."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != _REFUSED:
            raise
        raise RetryError(
            str(error.diag.message_primary), remedy="to run a step again that has ended, retry from it: from_step"
        ) from None
