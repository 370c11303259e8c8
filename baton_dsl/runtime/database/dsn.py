"""Read connection strings before anything connects with them. Errors never quote them: they may hold a password.

What libpq and psycopg say about a string that they can't read quotes from it, often from the password: what follows an
`@` that is not written as `%40` is taken for the name of the host. So such strings are found here, and refused in words
that quote nothing.
"""

from __future__ import annotations

import os
import re
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from baton_dsl.errors import ConnectionStringError

_SCHEME: Final = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
_PORTS: Final = re.compile(r"(?:\d{1,5}(?:,\d{0,5})*)?")


def read(dsn: str) -> str:
    """A connection string as psycopg takes it; SQLAlchemy's way of writing it (`postgresql+psycopg://`) is understood.

    Raises:
        ConnectionStringError: BTN421, if it can't be read.

    Examples:
        >>> read("postgresql+psycopg://app@db.example.org/app")
        'postgresql://app@db.example.org/app'
    """
    if not dsn.strip():
        raise ConnectionStringError("the connection string is empty")
    scheme = _SCHEME.match(dsn)
    known = f"postgresql://{dsn[scheme.end() :]}" if scheme else dsn
    if scheme and "@" in _path(known):
        raise ConnectionStringError(
            "the connection string can't be read: its password holds a / that is not written as %2F"
        )
    parts = _parts(known)
    if parts is None:
        raise ConnectionStringError("the connection string can't be read")
    if "@" in str(parts.get("host", ""))[1:]:  # one that begins with it is a socket without a file
        raise ConnectionStringError(
            "the connection string can't be read: its password holds an @ that is not written as %40"
        )
    if not parts.get("hostaddr") and not _can_be_looked_up(str(parts.get("host") or os.environ.get("PGHOST", ""))):
        raise ConnectionStringError(
            "the connection string can't be read: the name of its host has an empty part between dots, a part of more "
            "than 63 characters, or characters that no name of a host has"
        )
    if not _PORTS.fullmatch(str(parts.get("port", ""))):
        raise ConnectionStringError("the connection string can't be read: its port is no number")
    if not re.fullmatch(r"-?\d*", str(parts.get("connect_timeout", ""))):
        raise ConnectionStringError("the connection string can't be read: its connect_timeout is no number")
    return known


def _can_be_looked_up(hosts: str) -> bool:
    """Whether Python can ask for the addresses of all hosts: it encodes their names first, as IDNA says."""
    for host in hosts.split(","):
        if host.startswith(("/", "@")):  # a socket
            continue
        try:
            host.encode("idna")
        except UnicodeError:
            return False
    return True


def _path(url: str) -> str:
    """What stands between the host and the parameters."""
    return url.partition("://")[2].partition("?")[0].partition("/")[2]


def _parts(conninfo: str) -> dict[str, str | int | None] | None:
    """What it says; None if it can't be read. The error ends here, with all that it quotes."""
    try:
        return dict(conninfo_to_dict(conninfo))
    except (psycopg.Error, ValueError):  # ValueError: a NUL character
        return None
