"""How large our tables are, and what a prune would free of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.sql import pieces

JOBS: Final = "oban_jobs"
"""Oban's own table, which is mostly ours; Oban prunes it."""
AGES: Final = (timedelta(days=30), timedelta(days=7), timedelta(days=1))
"""What is tried beside the age that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """How large a table is.

    Attributes:
        name: Its name.
        size: Its bytes, with its indexes and the values that PostgreSQL keeps apart.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """What a prune would remove.

    Attributes:
        older_than: The age that it would be given.
        workflows: How many workflows ended longer ago.
        size: About how many bytes PostgreSQL could use again, if these workflows are as large as the others.
    """

    older_than: timedelta
    workflows: int
    size: int


# pg_total_relation_size asks for no privilege on the table.
_SIZES: Final[LiteralString] = """
    SELECT relname AS name, pg_total_relation_size(oid) AS size
    FROM pg_class
    WHERE relnamespace = 'baton'::regnamespace AND relkind = 'r' AND relname = ANY(%(names)s)
    ORDER BY size DESC, name
"""

_OLD: Final[LiteralString] = """
    SELECT age.older_than, (
        SELECT count(*) FROM baton.baton_workflows WHERE settled_at < now() - age.older_than
    ) AS workflows
    FROM unnest(%(ages)s::interval[]) AS age(older_than)
    ORDER BY age.older_than DESC
"""

_ALL: Final[LiteralString] = "SELECT count(*) AS workflows FROM baton.baton_workflows"


def sizes() -> Reading[list[TableSize]]:
    """Our tables and Oban's jobs, the largest first."""
    rows = yield _SIZES, {"names": [JOBS, *pieces.tables()]}
    return [TableSize(name=row["name"], size=row["size"]) for row in rows]


def prunable(retain: timedelta, tables: Sequence[TableSize]) -> Reading[list[Prunable]]:
    """What a prune would remove, for that age and a few others, the oldest first.

    Args:
        retain: The age that is asked for.
        tables: How large the tables are.
    """
    (counted,) = yield _ALL, {}
    rows = yield _OLD, {"ages": sorted({retain, *AGES})}
    ours = sum(table.size for table in tables if table.name != JOBS)
    return [
        Prunable(
            older_than=row["older_than"],
            workflows=row["workflows"],
            size=ours * row["workflows"] // max(counted["workflows"], 1),
        )
        for row in rows
    ]


def telling(ages: Sequence[Prunable]) -> list[Prunable]:
    """Those that say something: an age that removes no more than an older one is left out."""
    said: list[Prunable] = []
    for each in ages:
        if each.workflows > (said[-1].workflows if said else 0):
            said.append(each)
    return said
