"""Inputs and results as files. What a map returned is sent in parts: a hundred thousand items fit into no memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, LiteralString

from starlette.responses import Response, StreamingResponse

from baton_dsl.core.wording import unstorable
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.web.access import Refused
from baton_dsl.web.visit import Visit

MOST: Final = 4_000_000
"""Bytes of results that are read at once; one that is larger is read alone."""

_INPUTS: Final[LiteralString] = """
    SELECT inputs::text AS text FROM baton.baton_workflows WHERE workflow_id = %(workflow_id)s
"""

_NODE: Final[LiteralString] = """
    SELECT oban_job_id AS id, items IS NOT NULL AS has_items, result::text AS text,
        coalesce(mapping ? 'per_model', false) AS is_per_model
    FROM baton.workflow_nodes
    WHERE workflow_id = %(workflow_id)s AND step_name = %(step)s
"""

_CHILDREN: Final[LiteralString] = """
    SELECT * FROM (
        SELECT *, sum(octet_length(text)) OVER (ORDER BY place) AS so_far
        FROM (
            SELECT oban_job_id AS id, item_index AS place, items IS NOT NULL AS has_items, result::text AS text,
                (item -> 0)::text AS model
            FROM baton.workflow_nodes
            WHERE map_id = %(map_id)s AND item_index > %(after)s
            ORDER BY item_index LIMIT 1000
        ) AS child
    ) AS measured
    WHERE coalesce(so_far, 0) <= %(most)s OR so_far = octet_length(text)
    ORDER BY place
"""


async def inputs(visit: Visit) -> Response:
    """The inputs of a workflow as a file."""
    rows = await _rows(visit, _INPUTS)
    if not rows:
        raise Refused(404, "Not found", "There is no workflow of that id.")
    return Response(rows[0]["text"], media_type="application/json", headers=_as_file("inputs"))


async def result(visit: Visit) -> Response:
    """The result of a step as a file."""
    rows = await _rows(visit, _NODE)
    if not rows or (rows[0]["text"] is None and not rows[0]["has_items"]):
        raise Refused(404, "Not found", "There is no such step, or it has no result.")
    row = rows[0]
    if not row["has_items"]:
        return Response(row["text"], media_type="application/json", headers=_as_file("result"))
    pieces = _list(visit, row["id"], is_per_model=row["is_per_model"])
    return StreamingResponse(pieces, media_type="application/json", headers=_as_file("result"))


def _as_file(name: str) -> dict[str, str]:
    """What lets no browser show JSON as a page."""
    return {"content-disposition": f'attachment; filename="{name}.json"'}


async def _rows(visit: Visit, query: LiteralString) -> list[Row]:
    asked = {"workflow_id": visit.asked("id"), "step": visit.asked("step")}
    if any(map(unstorable, asked.values())):
        return []
    return await visit.read(_reading(query, asked))


def _reading(query: LiteralString, values: dict[str, Any]) -> Reading[list[Row]]:
    return (yield query, values)


async def _list(visit: Visit, map_id: int, *, is_per_model: bool = False) -> AsyncIterator[str]:
    """What the items of a map returned, as JSON, as `baton_collect` puts it together."""
    yield "{" if is_per_model else "["
    after, separator = -1, ""
    while rows := await visit.read(_reading(_CHILDREN, {"map_id": map_id, "after": after, "most": MOST})):
        said = []
        for row in rows:
            said.append(f"{separator}{row['model']}:" if is_per_model else separator)
            separator = ","
            if row["has_items"]:
                yield "".join(said)
                said = []
                async for piece in _list(visit, row["id"]):
                    yield piece
            else:
                said.append(row["text"] or "null")
        yield "".join(said)
        after = rows[-1]["place"]
    yield "}" if is_per_model else "]"
