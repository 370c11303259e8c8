"""Measure the sizes of our tables, and what a prune would free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.sql import pieces

JOBS: Final = "oban_jobs"
"""Oban's table of jobs, most of which are ours. Oban prunes it."""
AGES: Final = (timedelta(days=30), timedelta(days=7), timedelta(days=1))
"""The ages that are reported in addition to the requested one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The size of a table.

    Attributes:
        name: Its name.
        size: Its bytes, including its indexes and TOAST data.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """What a prune would remove.

    Attributes:
        older_than: The age.
        workflows: How many workflows ended longer ago.
        size: Roughly how many bytes would become free, if these workflows have the average size.
    """

    older_than: timedelta
    workflows: int
    size: int


# pg_total_relation_size needs no privilege on the table.
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
    """The sizes of our tables and of Oban's jobs, the largest first."""
    rows = yield _SIZES, {"names": [JOBS, *pieces.tables()]}
    return [TableSize(name=row["name"], size=row["size"]) for row in rows]


def prunable(retain: timedelta, tables: Sequence[TableSize]) -> Reading[list[Prunable]]:
    """What a prune would remove, for the requested age and a few others, the oldest first.

    Args:
        retain: The requested age.
        tables: The sizes of the tables.
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
    """The useful ages: without those that remove no more than an older one."""
    said: list[Prunable] = []
    for each in ages:
        if each.workflows > (said[-1].workflows if said else 0):
            said.append(each)
    return said
