"""Put the name of the schema into our SQL, which writes `baton.` for it, in the files of this folder and in Python."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from psycopg import sql

_SCHEMA: Final = re.compile(r"\bbaton\.|'baton'")
_KEPT: Final = 512
"""Statements that a process keeps as they are sent: more than there are in this package."""


def in_schema(text: str, prefix: str) -> str:
    """A text of SQL with the name of the schema, which has been checked, in the place of `baton.`.

    Examples:
        >>> in_schema("SELECT baton.baton_alive(%s::text[])", "jobs")
        'SELECT jobs.baton_alive(%s::text[])'
    """
    return _SCHEMA.sub(lambda found: f"{prefix}." if found[0].endswith(".") else f"'{prefix}'", text)


def statement(text: str | sql.Composable, prefix: str) -> sql.SQL:
    """A statement as psycopg takes it, with the name of the schema put in: made once in a process, then kept.

    Args:
        text: The statement. Names and conditions of ours may be composed into it; values are parameters.
        prefix: The schema.
    """
    return _statement(text if isinstance(text, str) else text.as_string(), prefix)


@lru_cache(_KEPT)
def _statement(text: str, prefix: str) -> sql.SQL:
    return sql.SQL(in_schema(text, prefix))
