"""A flow that uses every kind of connection that a worker has."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import Connection, text

from baton_dsl import Each, Flow, Input, step


@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))


@step
async def squares(numbers: Each[int]) -> int:
    return numbers


@step
async def noted(numbers: list[int], conn: psycopg.AsyncConnection[Any]) -> int:
    await conn.execute("INSERT INTO notes VALUES ('async')")
    return len(numbers)


@step
def noted_too(numbers: list[int], conn: Connection) -> int:
    conn.execute(text("INSERT INTO notes VALUES ('sync')"))
    return len(numbers)


@step
def total(squares: list[int], noted: int, noted_too: int) -> int:
    return sum(squares)


pooled = Flow("pooled", numbers, squares, noted, noted_too, total)
