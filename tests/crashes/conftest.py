"""Worker processes for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.crashes.notebook import TABLE
from tests.crashes.workers import Nursery, nursery


@pytest.fixture
async def workers(dsn: str, conn: psycopg.Connection[Any]) -> AsyncIterator[Nursery]:
    """A nursery on the fresh database."""
    conn.execute(TABLE)
    async with nursery(dsn) as started:
        yield started
