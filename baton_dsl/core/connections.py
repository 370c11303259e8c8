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
"""The classes, by their full names at run time."""

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
"""The same classes, by the names under which users import them and type checkers see them."""

_BY_ANY_NAME: Final = CLASSES | {name: CLASSES[defined] for name, defined in _ELSEWHERE.items()}
_SESSIONS: Final = {name: access for name, access in _BY_ANY_NAME.items() if name.endswith("Session")}
"""The session classes. A step may also take a subclass of one, because a session is created from a connection."""


def access_of(name: str, bases: Iterable[str] = ()) -> Access | None:
    """How a class gives access to the database; None if it is neither a connection nor a session.

    Args:
        name: The full name of the class, as it is imported or defined.
        bases: The full names of all its base classes.

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
