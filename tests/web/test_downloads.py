"""Inputs and results as files: whole, as JSON, using at most a few megabytes of memory."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, web
from baton_dsl.web import downloads
from tests.integration.modules import mapped
from tests.integration.modules.several_model_steps import brief
from tests.web.asking import ask
from tests.web.conftest import working
from tests.web.steps import shop


@pytest.mark.parametrize("most", [downloads.MOST, 2000])
async def test_a_result_of_a_map_is_sent_in_parts_and_is_what_the_workflow_returned(
    dsn: str, conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(downloads, "MOST", most)
    flat = Flow("summing", mapped.numbers, mapped.squares).insert(conn, count=1100)
    nested = mapped.shelving.insert(conn, sizes=[[1, 2], [], [3]])
    models = brief.insert(conn, text="a b")
    async with working(dsn):
        for workflow in (flat, nested, models):
            await workflow.wait(timeout=60)
    app = web.app(dsn)
    assess = await models.result("assess")
    assert isinstance(assess, dict)
    for workflow, step, expected in (
        (flat, "squares", [number**2 for number in range(1100)]),
        (nested, "doubled", [[2, 4], [], [6]]),
        (nested, "rows", [6, 0, 6]),
        (models, "assess", {model: verdict.model_dump() for model, verdict in assess.items()}),
        (models, "synthesis", await models.result("synthesis")),
    ):
        answer = await ask(app, "/step/result", id=workflow.id, step=step)
        assert json.loads(answer.text) == expected
        assert answer.headers["content-disposition"] == 'attachment; filename="result.json"'
        assert answer.headers["content-type"] == "application/json"


async def test_what_is_not_there_is_told(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = shop.insert(conn, country="de")
    app = web.app(dsn)
    assert json.loads((await ask(app, "/workflow/inputs", id=workflow.id)).text)["country"] == "de"
    for path, query in (
        ("/workflow/inputs", {"id": "nobody"}),
        ("/workflow/inputs", {"id": "a\0b"}),
        ("/step/result", {"id": workflow.id, "step": "report"}),
        ("/step/result", {"id": workflow.id, "step": "orders"}),
        ("/step/result", {"id": workflow.id, "step": "nothing"}),
    ):
        assert (await ask(app, path, **query)).status == 404
