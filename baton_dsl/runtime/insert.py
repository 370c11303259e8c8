"""Writing a lowered flow: one statement, on the caller's connection, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from baton_dsl.core.rules.unimportable_step import hook_of_a_script, steps_of_a_script
from baton_dsl.errors import FlowError, WorkflowExistsError
from baton_dsl.flow import Flow
from baton_dsl.runtime import schema
from baton_dsl.runtime.database import connections, instances
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.lowering.lower import Lowered, lower
from baton_dsl.runtime.values.importing import is_of_a_script
from baton_dsl.runtime.workflow import Workflow
from baton_dsl.step import Step

_INSERT = sql.SQL("""
SELECT {insert}(
    schema_version => %(schema_version)s::int4, id => %(id)s::text, label => %(label)s::text, flow => %(flow)s::text,
    given_inputs => %(given_inputs)s::text, is_debug => %(is_debug)s::bool, names => %(names)s::json,
    args => %(args)s::json, template => %(template)s::int4[], edge_from => %(edge_from)s::int4[],
    edge_to => %(edge_to)s::int4[], templates => %(templates)s::json, maps => %(maps)s::json,
    hooks_to_be => %(hooks_to_be)s::json, code => %(code)s::text, signatures => %(signatures)s::text
) IS NOT NULL, pg_backend_pid()
""")

_pooled: WeakSet[psycopg.Connection[Any] | psycopg.AsyncConnection[Any]] = WeakSet()
"""Connections of which an insert has found that a pooler is between: psycopg must prepare nothing there. It would from
the sixth insert on, and the pooler would send the seventh to another backend, which does not know it."""


def insert(flow: Flow[..., Any], conn: object, inputs: Mapping[str, Any]) -> object:
    """Insert a workflow; see `Flow.insert`."""
    _check_names(flow)
    if conn is None:
        return _insert_on_pool(flow, inputs)
    found = connections.find(conn)
    if found.sync is not None:
        return _insert_sync(flow, found.sync, inputs)
    if found.facaded is not None:
        return connections.await_here(_insert_facaded(flow, found.facaded, inputs), conn)
    return _insert_async(flow, found, inputs)


def _check_names(flow: Flow[..., Any]) -> None:
    """See that a worker can import what a flow names. Where Oban runs in this process, that is a worker which can.

    Raises:
        FlowError: BTN306, if it is of a script.
    """
    named = ((entry.name, entry.step) for entry in flow.entries)
    steps = {name for name, step in named if isinstance(step, Step) and is_of_a_script(step.function)}
    hooks = [name for name, hook in flow.settings.hooks().items() if is_of_a_script(hook)]
    if (not steps and not hooks) or instances.run_jobs():
        return
    found = steps_of_a_script(spec for spec in flow.checked().flow.steps if spec.name in steps)
    findings = [*found, *map(hook_of_a_script, hooks)]
    raise FlowError([finding.in_flow(flow.name) for finding in findings])


def _insert_sync(flow: Flow[..., Any], conn: psycopg.Connection[Any], inputs: Mapping[str, Any]) -> Workflow[Any]:
    database = Database.of_flow(flow.settings, conn)
    lowered = lower(flow, inputs)
    try:
        # A cursor of its own: `conn.cursor()` may give one of another kind, such as a RawCursor.
        cursor = psycopg.Cursor(conn, row_factory=tuple_row)
        row = cursor.execute(*_statement(lowered, database.prefix), prepare=_is_prepared(conn)).fetchone()
    except psycopg.Error as error:
        if explained := schema.explain_missing(error, database.prefix):
            raise explained from error
        raise
    return _workflow(conn, row, lowered, database)


async def _insert_async(flow: Flow[..., Any], found: connections.Found, inputs: Mapping[str, Any]) -> Workflow[Any]:
    assert found.pending is not None
    conn = await found.pending
    database = Database.of_flow(flow.settings, conn)
    return await _write(conn, lower(flow, inputs), database)


async def _insert_facaded(
    flow: Flow[..., Any], conn: psycopg.AsyncConnection[Any], inputs: Mapping[str, Any]
) -> Workflow[Any]:
    return await _write(conn, lower(flow, inputs), Database.of_flow(flow.settings, conn))


async def _insert_on_pool(flow: Flow[..., Any], inputs: Mapping[str, Any]) -> Workflow[Any]:
    instance = instances.get(flow.settings.oban)
    database = Database.of_flow(flow.settings, None)
    lowered = lower(flow, inputs)
    async with instance.autocommit() as conn:
        return await _write(conn, lowered, database)


async def _write(conn: psycopg.AsyncConnection[Any], lowered: Lowered, database: Database) -> Workflow[Any]:
    cursor = psycopg.AsyncCursor(conn, row_factory=tuple_row)
    try:
        statement = _statement(lowered, database.prefix)
        row = await (await cursor.execute(*statement, prepare=_is_prepared(conn))).fetchone()
    except psycopg.Error as error:
        if explained := schema.explain_missing(error, database.prefix):
            raise explained from error
        raise
    return _workflow(conn, row, lowered, database)


def _is_prepared(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool | None:
    return False if conn in _pooled else None


def _statement(lowered: Lowered, prefix: str) -> tuple[sql.Composed, dict[str, Any]]:
    return _INSERT.format(insert=sql.Identifier(prefix, "baton_insert")), lowered.parameters(schema.VERSION)


def _workflow(
    conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
    row: tuple[Any, ...] | None,
    lowered: Lowered,
    database: Database,
) -> Workflow[Any]:
    if row is not None and row[1] != conn.info.backend_pid:
        _pooled.add(conn)
    if row is None or not row[0]:
        raise WorkflowExistsError(f'a workflow "{lowered.workflow_id}" is in the database already')
    return Workflow(lowered.workflow_id, database=database)
