"""Write the journals of a worker to the database, in one statement for all steps that record at the same time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Final, LiteralString

from psycopg.rows import tuple_row

from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.database.pools import Pool, autocommit
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.usage.entries import CaptureEntry, UsageEntry

_USAGE: Final[LiteralString] = "SELECT baton.baton_record_usage(%s::json)"

_CAPTURES: Final[LiteralString] = """
INSERT INTO baton.baton_captures (
    id, workflow_id, step_name, node_name, oban_job_id, attempt, number, model, request, response, error, captured_at
)
SELECT given.id, given.workflow_id, given.step, given.node, given.job, given.attempt, given.number, given.model,
    given.request::json, given.response::json, given.error, given.captured_at
FROM ROWS FROM (
    json_to_recordset(%s::json) AS (
        id uuid, workflow_id text, step text, node text, job bigint, attempt integer, number integer, model text,
        error text, captured_at timestamptz
    ),
    unnest(%s::text[]),
    unnest(%s::text[])
) AS given(id, workflow_id, step, node, job, attempt, number, model, error, captured_at, request, response)
ON CONFLICT DO NOTHING
"""

_STORED: Final[LiteralString] = """
SELECT name, number, result::text FROM baton.baton_checkpoints WHERE oban_job_id = %s
"""

# The first one wins: if an attempt that timed out stores later, a newer attempt has already read or stored its own.
_STORE: Final[LiteralString] = """
INSERT INTO baton.baton_checkpoints (oban_job_id, name, number, result)
SELECT * FROM unnest(%s::int8[], %s::text[], %s::int4[], %s::json[])
ON CONFLICT DO NOTHING
"""

type Checkpoint = tuple[int, str, int, str]


class DatabaseWriter:
    """Writes what the steps of one Oban instance record.

    Args:
        pool: The pool of connections.
        prefix: The schema.
        context: The context in which it writes.
    """

    def __init__(self, pool: Pool, prefix: str, context: Context) -> None:
        self._pool = pool
        self._statements = {name: statement(text, prefix) for name, text in _TEXTS.items()}
        self._usage: Coalescer[UsageEntry, None] = Coalescer("usage", self._write_usage, context, keeps=True)
        self._captures: Coalescer[CaptureEntry, None] = Coalescer("capture", self._write_captures, context, keeps=True)
        self._checkpoints: Coalescer[Checkpoint, None] = Coalescer("once", self._store_all, context, keeps=True)

    async def usage(self, entry: UsageEntry) -> None:
        """Write a call of a model."""
        await self._usage.submit(entry)

    async def capture(self, entry: CaptureEntry) -> None:
        """Write an exchange with a model."""
        await self._captures.submit(entry)

    async def store(self, job_id: int, name: str, number: int, result: str) -> None:
        """Store the result of a call within a step."""
        await self._checkpoints.submit((job_id, name, number, result))

    async def stored(self, job_id: int) -> Mapping[tuple[str, int], str]:
        """The checkpoints of earlier attempts of a job."""
        async with autocommit(self._pool) as conn:
            cursor = await conn.cursor(row_factory=tuple_row).execute(self._statements["stored"], [job_id])
            return {(name, number): result for name, number, result in await cursor.fetchall()}

    async def _write_usage(self, entries: Sequence[UsageEntry], _is_again: bool) -> list[None]:
        return await self._write("usage", entries, json.dumps([entry.columns() for entry in entries]))

    async def _write_captures(self, entries: Sequence[CaptureEntry], _is_again: bool) -> list[None]:
        rows = [
            {
                "id": entry.id,
                **entry.place.columns(),
                "number": entry.number,
                "model": entry.model,
                "error": entry.error,
                "captured_at": entry.captured_at.isoformat(),
            }
            for entry in entries
        ]
        requests, responses = [entry.request for entry in entries], [entry.response for entry in entries]
        return await self._write("captures", entries, json.dumps(rows), requests, responses)

    async def _store_all(self, checkpoints: Sequence[Checkpoint], _is_again: bool) -> list[None]:
        return await self._write("store", checkpoints, *map(list, zip(*checkpoints, strict=True)))

    async def _write(self, name: str, entries: Sequence[object], *values: object) -> list[None]:
        async with autocommit(self._pool) as conn:
            await conn.execute(self._statements[name], values)
        return [None] * len(entries)


_TEXTS: Final[Mapping[str, LiteralString]] = {
    "usage": _USAGE,
    "captures": _CAPTURES,
    "stored": _STORED,
    "store": _STORE,
}
