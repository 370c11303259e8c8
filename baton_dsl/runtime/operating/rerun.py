"""Rerun workflows: insert the current flow with the inputs and label of an old workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from psycopg import sql

from baton_dsl.errors import FlowError, FlowMismatchError
from baton_dsl.flow import Flow
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import Reading, Row, read, read_sync
from baton_dsl.runtime.lowering.given import values_of
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter

_INPUTS: Final = sql.SQL(
    "SELECT workflow_id, workflow_label, flow_name, inputs FROM baton.baton_workflows WHERE {} ORDER BY workflow_id"
)


async def rerun(database: Database, which: WorkflowFilter, flow: Flow[..., Any]) -> Mapping[str, str]:
    """Insert workflows again, all or none of them. The old ones stay as they are.

    Args:
        database: The database of the workflows.
        which: The workflows.
        flow: The flow that they were inserted from, in the current code. Its options apply, such as `debug` or
            `workflow_name`; without `workflow_name`, the new workflows get the old labels.

    Returns:
        The id of the new workflow for each old one.

    Raises:
        FlowMismatchError: BTN416, if one was inserted from a flow of another name.
        InputError: BTN303, if the flow no longer accepts stored inputs.
        FlowError: If the flow is wrong.
    """
    old = await read(database, _inputs(which))
    again = [(row, *_again(flow, row, database.prefix)) for row in old]
    inserted: dict[str, str] = {}
    async with database.connection() as conn, conn.transaction():
        for row, new, inputs in again:
            with _noting(row):
                inserted[row["workflow_id"]] = (await new.insert(conn, **inputs)).id
    return inserted


def rerun_sync(database: Database, which: WorkflowFilter, flow: Flow[..., Any]) -> Mapping[str, str]:
    """As `rerun`, for sync code."""
    old = read_sync(database, _inputs(which))
    again = [(row, *_again(flow, row, database.prefix)) for row in old]
    inserted: dict[str, str] = {}
    with database.sync_connection() as conn, conn.transaction():
        for row, new, inputs in again:
            with _noting(row):
                inserted[row["workflow_id"]] = new.insert(conn, **inputs).id
    return inserted


def _inputs(which: WorkflowFilter) -> Reading[list[Row]]:
    conditions, values = which.conditions
    return (yield _INPUTS.format(conditions), values)


def _again(flow: Flow[..., Any], row: Row, prefix: str) -> tuple[Flow[..., Any], dict[str, Any]]:
    """The flow with the options of one insert, and its inputs."""
    if flow.name != row["flow_name"]:
        raise FlowMismatchError(f'workflow "{row["workflow_id"]}" is of flow "{row["flow_name"]}", not "{flow.name}"')
    label = flow.settings.workflow_name or row["workflow_label"]
    return flow.options(prefix=prefix, workflow_name=label), values_of(flow, row["inputs"])


@contextmanager
def _noting(row: Row) -> Iterator[None]:
    """Add to an error the workflow whose stored inputs the flow does not accept."""
    try:
        yield
    except FlowError as error:
        error.add_note(f'the inputs are those that workflow "{row["workflow_id"]}" has stored')
        raise
