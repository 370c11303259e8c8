"""Write lowered workflows with one statement, on the caller's connection and in the caller's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

import psycopg
from psycopg.rows import tuple_row

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.unimportable_step import hook_of_a_script, steps_of_a_script
from baton_dsl.errors import (
    BatonError,
    FlowError,
    InputError,
    SchemaMissingError,
    SchemaVersionError,
    WorkflowExistsError,
)
from baton_dsl.flow import Flow
from baton_dsl.runtime import schema
from baton_dsl.runtime.database import connections, instances
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.lowering import sending
from baton_dsl.runtime.lowering.insert_arguments import arguments_of
from baton_dsl.runtime.lowering.lower import Lowered, check_flow, lower
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values.importing import is_of_a_script
from baton_dsl.runtime.workflow import Workflow
from baton_dsl.step import Step

_INSERT: Final = """
SELECT baton.baton_insert_many(
    schema_version => %(schema_version)s::int4, flow => %(flow)s::text, code => %(code)s::text,
    signatures => %(signatures)s::text, ids => %(ids)s::text[], labels => %(labels)s::text[],
    inputs => %(inputs)s::text[], are_debug => %(are_debug)s::bool[], hooks_to_be => %(hooks_to_be)s::json,
    sizes => %(sizes)s::int4[], names => %(names)s::json, args => %(args)s::json, template => %(template)s::int4[],
    edge_from => %(edge_from)s::int4[], edge_to => %(edge_to)s::int4[], templates => %(templates)s::json,
    maps => %(maps)s::json, budgets => %(budgets)s::numeric[], traceparent => %(traceparent)s::text
), pg_backend_pid()
"""

MOST_FAULTY: Final = 20
"""The most workflows whose faults an error describes."""

type Asked = Sequence[tuple[Flow[..., Any], Mapping[str, Any]]]
"""Flows to insert, each with its inputs."""

_pooled: WeakSet[psycopg.Connection[Any] | psycopg.AsyncConnection[Any]] = WeakSet()
"""Connections that go through a pooler, as an insert has found out: psycopg must not prepare statements there. It would
do so from the sixth insert on, and the pooler would send the seventh to another backend, which lacks the statement."""


def insert(flow: Flow[..., Any], conn: object, inputs: Mapping[str, Any]) -> object:
    """Insert a workflow; see `Flow.insert`."""
    return _insert(flow, conn, lambda: [lower(flow, inputs)], _only)


def insert_many(flow: Flow[..., Any], conn: object, asked: Asked) -> object:
    """Insert many workflows of a flow; see `Flow.insert_many`."""
    return _insert(flow, conn, lambda: _lower_all(flow, asked), list)


def _only(workflows: list[Workflow[Any]]) -> Workflow[Any]:
    return workflows[0]


def _insert[T](
    flow: Flow[..., Any],
    conn: object,
    lowered: Callable[[], list[Lowered]],
    give: Callable[[list[Workflow[Any]]], T],
) -> T | Coroutine[Any, Any, T]:
    """Insert workflows where the caller wants them.

    Args:
        flow: Their flow; its settings name the database if `conn` does not.
        conn: The connection that the caller passed.
        lowered: Lowers the workflows, after the connection is found.
        give: Converts the workflows to what the caller gets.
    """
    _check_names(flow)
    if conn is None:
        return _insert_on_pool(flow, lowered, give)
    found = connections.find(conn)
    if found.sync is not None:
        return give(_insert_sync(flow, found.sync, lowered()))
    if found.facaded is not None:
        return connections.await_here(_insert_facaded(flow, found.facaded, lowered, give), conn)
    return _insert_async(flow, found, lowered, give)


def _lower_all(flow: Flow[..., Any], asked: Asked) -> list[Lowered]:
    """Lower many workflows. If some are wrong, the error names each of them by its index."""
    if asked:
        check_flow(flow)
    lowered: list[Lowered] = []
    findings: list[Diagnostic] = []
    error_class: type[FlowError] = InputError
    faulty = 0
    for index, (each, inputs) in enumerate(asked):
        try:
            lowered.append(lower(each, inputs, is_mapping=True))
        except FlowError as error:
            findings += [finding.in_workflow(index) for finding in error.diagnostics]
            error_class = error_class if isinstance(error, InputError) else FlowError
            faulty += 1
            if faulty == MOST_FAULTY:
                break
    if findings:
        raise error_class(findings)
    _check_ids(lowered)
    return lowered


def _check_ids(lowered: Sequence[Lowered]) -> None:
    places: dict[str, int] = {}
    for index, workflow in enumerate(lowered):
        before = places.setdefault(workflow.workflow_id, index)
        if before != index:
            raise WorkflowExistsError(
                f'workflows[{index}] has the id "{workflow.workflow_id}", as workflows[{before}] has',
                remedy="give each an id of its own, or none",
            )


def _check_names(flow: Flow[..., Any]) -> None:
    """Check that a worker can import the steps and hooks of a flow. If Oban runs in this process, this worker can.

    Raises:
        FlowError: BTN306, if one is defined in a script.
    """
    named = ((entry.name, entry.step) for entry in flow.entries)
    steps = {name for name, step in named if isinstance(step, Step) and is_of_a_script(step.function)}
    hooks = [name for name, hook in flow.settings.hooks().items() if is_of_a_script(hook)]
    if (not steps and not hooks) or instances.run_jobs():
        return
    found = steps_of_a_script(spec for spec in flow.checked().flow.steps if spec.name in steps)
    findings = [*found, *map(hook_of_a_script, hooks)]
    raise FlowError([finding.in_flow(flow.name) for finding in findings])


def _insert_sync(flow: Flow[..., Any], conn: psycopg.Connection[Any], lowered: list[Lowered]) -> list[Workflow[Any]]:
    database = Database.of_flow(flow.settings, conn)
    if not lowered:
        return []
    try:
        # A plain Cursor: `conn.cursor()` may return another class, such as a RawCursor.
        cursor = psycopg.Cursor(conn, row_factory=tuple_row)
        values = arguments_of(lowered, schema.VERSION)
        with sending.observed(lowered[0].flow, lowered) as values["traceparent"]:
            row = cursor.execute(statement(_INSERT, database.prefix), values, prepare=_is_prepared(conn)).fetchone()
    except psycopg.Error as error:
        if explained := _explain(error, database):
            raise explained from error
        raise
    return _workflows(conn, row, lowered, database)


def _explain(error: psycopg.Error, database: Database) -> BatonError | None:
    """Turn a database error into one about our schema, if it is one; else None.

    If a function does not exist, the schema may be older. The transaction has failed, so another connection is used to
    find out.
    """
    explained = schema.explain_missing(error, database.prefix)
    if isinstance(explained, SchemaMissingError) and error.sqlstate == "42883":
        with suppress(psycopg.Error), database.sync_connection() as conn:
            installed = schema.installed_version(conn, database.prefix)
            if installed < schema.VERSION:
                return SchemaVersionError.older(database.prefix, installed, schema.VERSION)
    return explained


async def _insert_async[T](
    flow: Flow[..., Any],
    found: connections.Found,
    lowered: Callable[[], list[Lowered]],
    give: Callable[[list[Workflow[Any]]], T],
) -> T:
    assert found.pending is not None
    conn = await found.pending
    database = Database.of_flow(flow.settings, conn)
    return give(await _write(conn, lowered(), database))


async def _insert_facaded[T](
    flow: Flow[..., Any],
    conn: psycopg.AsyncConnection[Any],
    lowered: Callable[[], list[Lowered]],
    give: Callable[[list[Workflow[Any]]], T],
) -> T:
    return give(await _write(conn, lowered(), Database.of_flow(flow.settings, conn)))


async def _insert_on_pool[T](
    flow: Flow[..., Any], lowered: Callable[[], list[Lowered]], give: Callable[[list[Workflow[Any]]], T]
) -> T:
    instance = instances.get(flow.settings.oban)
    database = Database.of_flow(flow.settings, None)
    values = lowered()
    async with instance.autocommit() as conn:
        return give(await _write(conn, values, database))


async def _write(conn: psycopg.AsyncConnection[Any], lowered: list[Lowered], database: Database) -> list[Workflow[Any]]:
    if not lowered:
        return []
    cursor = psycopg.AsyncCursor(conn, row_factory=tuple_row)
    try:
        values = arguments_of(lowered, schema.VERSION)
        with sending.observed(lowered[0].flow, lowered) as values["traceparent"]:
            executed = await cursor.execute(statement(_INSERT, database.prefix), values, prepare=_is_prepared(conn))
            row = await executed.fetchone()
    except psycopg.Error as error:
        if explained := await asyncio.to_thread(_explain, error, database):
            raise explained from error
        raise
    return _workflows(conn, row, lowered, database)


def _is_prepared(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool | None:
    return False if conn in _pooled else None


def _workflows(
    conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
    row: tuple[Any, ...] | None,
    lowered: Sequence[Lowered],
    database: Database,
) -> list[Workflow[Any]]:
    assert row is not None
    taken, backend = row
    if backend != conn.info.backend_pid:
        _pooled.add(conn)
    if taken:
        index = min(taken) - 1
        where = f"workflows[{index}]: " if len(lowered) > 1 else ""
        raise WorkflowExistsError(f'{where}a workflow "{lowered[index].workflow_id}" is in the database already')
    return [Workflow(workflow.workflow_id, database=database) for workflow in lowered]
