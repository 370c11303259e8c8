"""Make Alembic's autogenerate ignore Oban's tables and ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from baton_dsl.runtime.sql import pieces

TABLES: Final = frozenset({"oban_jobs", "oban_leaders", "oban_producers", *pieces.tables()})
"""The tables that a migration with `oban.schema.install_sql` and `schema.upgrade` creates."""

type IncludeName = Callable[[str | None, str, Mapping[str, Any]], bool]
"""Alembic's hook `include_name`: name, type, names of its parents."""

type IncludeObject = Callable[[Any, str | None, str, bool, Any], bool]
"""Alembic's hook `include_object`: object, name, type, whether the database has it, what it is compared to."""


def include_name(also: Callable[..., bool] | None = None, *, prefix: str | None = None) -> IncludeName:
    """A hook for `context.configure(include_name=...)`: autogenerate does not read Oban's tables and ours.

    Args:
        also: Your own hook, which is called for everything else.
        prefix: The schema of Oban's tables; default: any schema.

    Example:
        ```python
        context.configure(connection=connection, target_metadata=metadata, include_name=schema.include_name())
        ```
    """

    def include(name: str | None, kind: str, parents: Mapping[str, Any]) -> bool:
        table = name if kind == "table" else parents.get("table_name")
        if kind != "schema" and _is_theirs(table, parents.get("schema_name"), prefix):
            return False
        return also is None or also(name, kind, parents)

    return include


def include_object(also: Callable[..., bool] | None = None, *, prefix: str | None = None) -> IncludeObject:
    """A hook for `context.configure(include_object=...)`: autogenerate proposes nothing for Oban's tables and ours.

    This also works if they are part of your metadata, for example through `baton_dsl.runtime.tables`.

    Args:
        also: Your own hook, which is called for everything else.
        prefix: The schema of Oban's tables; default: any schema.

    Example:
        ```python
        def mine(object, name, type_, reflected, compare_to):
            return not (type_ == "table" and name.startswith("legacy_"))

        context.configure(connection=connection, target_metadata=metadata, include_object=schema.include_object(mine))
        ```
    """

    def include(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        table = item if kind == "table" else getattr(item, "table", None)
        if table is not None and _is_theirs(table.name, table.schema, prefix):
            return False
        return also is None or also(item, name, kind, reflected, compare_to)

    return include


def _is_theirs(table: str | None, schema: str | None, prefix: str | None) -> bool:
    """Whether a table is one of Oban's or ours. Alembic passes no schema for a table in the default one, `public`."""
    return table in TABLES and prefix in (None, schema or "public")
