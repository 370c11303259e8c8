"""The connection and session classes that a step may take, known by name so that no driver is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from baton_dsl.core.spec import Access

CLASSES: Final = {
    "psycopg.Connection": Access.SYNC,
    "psycopg.AsyncConnection": Access.ASYNC,
    "sqlalchemy.engine.base.Connection": Access.SYNC,
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": Access.ASYNC,
    "sqlalchemy.orm.session.Session": Access.SYNC,
    "sqlalchemy.ext.asyncio.session.AsyncSession": Access.ASYNC,
}
"""By the names that they have at run time."""

_ELSEWHERE: Final = {
    "psycopg.connection.Connection": "psycopg.Connection",
    "psycopg.connection_async.AsyncConnection": "psycopg.AsyncConnection",
    "sqlalchemy.Connection": "sqlalchemy.engine.base.Connection",
    "sqlalchemy.engine.Connection": "sqlalchemy.engine.base.Connection",
    "sqlalchemy.ext.asyncio.AsyncConnection": "sqlalchemy.ext.asyncio.engine.AsyncConnection",
    "sqlalchemy.orm.Session": "sqlalchemy.orm.session.Session",
    "sqlalchemy.ext.asyncio.AsyncSession": "sqlalchemy.ext.asyncio.session.AsyncSession",
    "sqlmodel.Session": "sqlalchemy.orm.session.Session",
    "sqlmodel.orm.session.Session": "sqlalchemy.orm.session.Session",
    "sqlmodel.ext.asyncio.session.AsyncSession": "sqlalchemy.ext.asyncio.session.AsyncSession",
}
"""Where users import them from, and where type checkers find them."""

_BY_ANY_NAME: Final = CLASSES | {name: CLASSES[defined] for name, defined in _ELSEWHERE.items()}
_SESSIONS: Final = {name: access for name, access in _BY_ANY_NAME.items() if name.endswith("Session")}
"""Those whose subclasses do as well: whoever makes one gives it a connection."""


def access_of(name: str, bases: Iterable[str] = ()) -> Access | None:
    """How a class gives access to the database; None for one that is no connection and no session.

    Args:
        name: Its full name, as it is imported or defined.
        bases: Those of all classes that it derives from.

    Examples:
        >>> access_of("sqlalchemy.orm.Session")
        <Access.SYNC: 'sync'>
        >>> access_of("app.Session", ["sqlalchemy.ext.asyncio.session.AsyncSession"])
        <Access.ASYNC: 'async'>
        >>> access_of("builtins.int") is None
        True
    """
    known = _BY_ANY_NAME.get(name)
    if known is not None:
        return known
    return next((_SESSIONS[base] for base in bases if base in _SESSIONS), None)
