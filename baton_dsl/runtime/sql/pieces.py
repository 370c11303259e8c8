"""The parts of our schema: numbered files of tables, and one file for each function and trigger.

The files write `baton.` for the schema, which is all that is replaced in them. The `search_path` of our functions
contains only PostgreSQL's own catalog, so that a role that may create in the schema can't make them call its own
functions or operators.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

from baton_dsl.runtime.sql.statements import in_schema

_SQL: Final = files("baton_dsl.runtime.sql")
_BLANK: Final = re.compile(r"(?<!:):([a-z_]+)\b")
_TABLE: Final = re.compile(r"^CREATE (?:UNLOGGED )?TABLE IF NOT EXISTS baton\.(\w+)", re.MULTILINE)
_INDEX: Final = re.compile(r"^CREATE INDEX IF NOT EXISTS (\w+)\s+ON baton\.(\w+)[^;]*", re.MULTILINE)
_HOME: Final = re.compile(r"^.*? ON baton\.(\w+)$", re.MULTILINE)

_MARKED: Final = "baton-dsl "
"""The beginning of the comments on our functions and triggers."""
_MADE: Final = "left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 16)"
_MADE_FUNCTION: Final = _MADE.format("CASE WHEN own.prokind <> 'a' THEN pg_get_functiondef(own.oid) ELSE '' END")
_MADE_TRIGGER: Final = _MADE.format("pg_get_triggerdef(own.oid)")
"""A digest of a definition as PostgreSQL has it: it changes if somebody changes the definition by hand."""


def _names(folder: str) -> list[str]:
    """The names of the files of a folder of SQL, in order."""
    found = (each.name for each in _SQL.joinpath(folder).iterdir())
    return sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql"))


@cache
def _texts(folder: str) -> Mapping[str, str]:
    """The files of a folder of SQL by their names, in order."""
    return {name: _SQL.joinpath(folder, f"{name}.sql").read_text("utf-8") for name in _names(folder)}


VERSION: Final = max(map(int, _names("tables")))
"""The version of the schema that this library needs: the number of the last file in `sql/tables`."""


OLDEST_POSTGRES: Final = 14
"""The oldest supported PostgreSQL: the first one with `CREATE OR REPLACE TRIGGER`, and Oban needs it too."""


def versions() -> list[str]:
    """The names of the files of tables, which are the versions of the schema."""
    return _names("tables")


def tables() -> list[str]:
    """The names of our tables, in the order in which they are created."""
    return _TABLE.findall("".join(_texts("tables").values()))


class Index(NamedTuple):
    """An index: its table, the version that adds it, and the statement that builds it while others write."""

    table: str
    version: int
    concurrently: str


def indexes() -> Mapping[str, Index]:
    """Our indexes by name, besides those of keys."""
    return {
        found[1]: Index(found[2], int(version), found[0].replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1))
        for version, text in _texts("tables").items()
        for found in _INDEX.finditer(text)
    }


def functions() -> list[str]:
    """The names of our functions."""
    return list(_texts("functions"))


def text_of(folder: str, name: str) -> str:
    """The text of a file of SQL."""
    return _texts(folder)[name]


def triggers() -> Mapping[str, str]:
    """The table of each of our triggers."""
    return {name: _match(_HOME, text) for name, text in _texts("triggers").items()}


def upgrading(prefix: str, until: int = VERSION, only: Container[tuple[str, str]] | None = None) -> Iterator[str]:
    """The statements that create what is missing and replace what differs, in order.

    Each checks for itself what to do, so that they also work as a printed script, and change nothing that is up to
    date.

    Args:
        prefix: The schema.
        until: The last file of tables to run.
        only: The pieces to create or replace, by kind and name; None for all.
    """

    def texts(folder: str, kind: str) -> list[tuple[str, str]]:
        return [(name, text) for name, text in _texts(folder).items() if only is None or (kind, name) in only]

    files = [(name, text) for name, text in texts("tables", "tables") if int(name) <= until]
    if files:
        definitions = _rows((int(name), _quoted(text)) for name, text in files)
        yield in_schema(_filled("tables", definitions=definitions, oldest=str(OLDEST_POSTGRES)), prefix)
    definitions = _rows((_text(name), _mark(text), _quoted(text)) for name, text in texts("functions", "function"))
    yield in_schema(
        _filled(
            "functions",
            version=str(VERSION),
            definitions=definitions or "(NULL, NULL, NULL)",
            marks=_rows((_text(name), _mark(text)) for name, text in _texts("functions").items()),
            marked=_text(_MARKED),
            made=_MADE_FUNCTION,
        ),
        prefix,
    )
    changed = texts("triggers", "trigger")
    if changed:
        definitions = _rows((_text(name), _home(text), _mark(text), _quoted(text)) for name, text in changed)
        filled = _filled("triggers", version=str(VERSION), definitions=definitions, made=_MADE_TRIGGER)
        yield in_schema(filled, prefix)


def differing(prefix: str) -> str:
    """The query for what an install would change: a row for each table file, function and trigger."""
    query = _filled(
        "differences",
        version=str(VERSION),
        tables=_rows((int(name),) for name in _names("tables")),
        functions=_rows((_text(name), _mark(text)) for name, text in _texts("functions").items()),
        triggers=_rows((_text(name), _home(text), _mark(text)) for name, text in _texts("triggers").items()),
        marked=_text(_MARKED),
        made_function=_MADE_FUNCTION,
        made_trigger=_MADE_TRIGGER,
    )
    return in_schema(query, prefix)


def _filled(name: str, **blanks: str) -> str:
    return _BLANK.sub(lambda blank: blanks[blank[1]], _texts("install")[name])


def _rows(rows: Iterable[Iterable[object]]) -> str:
    return ",\n            ".join(f"({', '.join(map(str, row))})" for row in rows)


def _mark(text: str) -> str:
    """The first part of the comment on a piece; the digest of PostgreSQL's own definition follows it."""
    return _text(f"{_MARKED}{sha256(text.encode()).hexdigest()[:16]} ")


def _home(text: str) -> str:
    """The table of a trigger."""
    return _text(f"baton.{_match(_HOME, text)}")


def _text(value: str) -> str:
    return f"'{value}'"


def _quoted(text: str) -> str:
    return f"$file$\n{text}$file$"


def _match(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None
    return match[1]
