"""A failure is reported by the one line of its text that says what happened."""

import asyncio
import traceback
from collections.abc import Callable

import pytest
from pydantic import TypeAdapter
from sqlalchemy.exc import ProgrammingError

from baton_dsl.core.wording import last_exception, without_traceback


def no_such_table() -> None:
    told = 'relation "ledger" does not exist\nLINE 1: INSERT INTO ledger (payment)\n                    ^'
    raise ProgrammingError("INSERT INTO ledger (payment) VALUES (1)", None, Exception(told))


def two_tasks() -> None:
    async def one(name: str) -> None:
        raise ValueError(f"{name} failed\nbecause")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one("eu"))
            group.create_task(one("us"))

    asyncio.run(both())


def a_group_behind_another_error() -> None:
    try:
        two_tasks()
    except* ValueError as error:
        raise RuntimeError("no region answers") from error


def a_note() -> None:
    error = RuntimeError("no route")
    error.add_note("  since Tuesday\nor so")
    raise error


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (
            no_such_table,
            'sqlalchemy.exc.ProgrammingError: (builtins.Exception) relation "ledger" does not exist',
        ),
        (
            lambda: TypeAdapter(int).validate_python("x"),
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for int",
        ),
        (two_tasks, "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): ValueError: eu failed"),
        (a_group_behind_another_error, "RuntimeError: no region answers"),
        (a_note, "RuntimeError: no route"),
        (lambda: compile("total = (", "prices.py", "exec"), "SyntaxError: '(' was never closed"),
    ],
)
def test_an_exception_is_told_by_its_first_line_whatever_follows(fails: Callable[[], object], told: str) -> None:
    with pytest.raises(Exception) as raised:
        fails()
    error = "".join(traceback.format_exception(raised.value))
    assert last_exception(error) == without_traceback(error) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ""),
        ("", ""),
        ("\nno route\n  to the office", "no route"),
    ],
)
def test_what_is_no_traceback_is_told_by_its_first_line(error: str | None, told: str) -> None:
    assert last_exception(error) == told
    assert without_traceback(error or "") == (error or "")
