"""A process dies after each call within a step that is stored: none of them is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from baton_dsl import Flow
from tests.conftest import until
from tests.crashes.once_steps import pays_thrice
from tests.crashes.workers import Nursery


async def test_no_stored_call_is_made_again_whenever_the_process_dies(
    workers: Nursery, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    workflow = Flow("once", pays_thrice).insert(conn, folder=str(tmp_path))
    for deaths in range(1, 4):
        await workers.start(queues={"default": 1})
        await until(lambda expected=deaths: len(workers.deaths) >= expected, 60)
    await workers.start(queues={"default": 1})
    await workflow.wait(60)
    assert await workflow.result("pays_thrice") == [0, 10, 20]
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2"]
    assert conn.execute("SELECT count(*) FROM baton_checkpoints").fetchone() == (0,)
