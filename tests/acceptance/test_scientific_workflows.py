"""The shapes of real scientific workflows run to completion: every step after its dependencies, each result correct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow
from tests.conftest import StartOban
from tests.integration.modules import steps

SHAPES = sorted((Path(__file__).parent.parent / "shapes").glob("*.json"))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda path: path.stem)
async def test_a_scientific_workflow_runs_in_order(
    shape: Path, start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    described = json.loads(shape.read_text(encoding="utf-8"))["steps"]
    flow = Flow(shape.stem)
    for name, facts in described.items():
        flow.add(name, steps.traced, deps=facts["deps"])
    expected: dict[str, int] = {}
    for name in flow.validate():
        expected[name] = 1 + sum(expected[dep] for dep in described[name]["deps"])

    steps.TRACE.clear()
    async with start_oban(queues={"default": 50}):
        workflow = await flow.insert()
        status = await workflow.wait(60)
        assert status.outcome == "completed"
        assert await workflow.results() == expected

    moment = {event: position for position, event in enumerate(steps.TRACE)}
    assert len(steps.TRACE) == len(moment) == 2 * len(described)
    for name, facts in described.items():
        assert all(moment["end", dep] < moment["start", name] for dep in facts["deps"])
    assert conn.execute("SELECT max(attempt), count(*) FROM oban_jobs").fetchone() == (1, len(described))
