"""Check connection strings before they are used. Errors never quote them, because they may contain a password.

If libpq or psycopg can't parse a string, their error quotes from it, often from the password: the text after an `@`
that is not written as `%40` counts as the name of the host. So such strings are found here, and rejected with an error
that quotes nothing.
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
    """Check a connection string, and convert one of SQLAlchemy (`postgresql+psycopg://`) to one for psycopg.

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
    if "@" in str(parts.get("host", ""))[1:]:  # a host that begins with @ is an abstract socket
        raise ConnectionStringError(
            "the connection string can't be read: its password holds an @ that is not written as %40"
        )
    if not parts.get("hostaddr") and not _can_be_looked_up(str(parts.get("host") or os.environ.get("PGHOST", ""))):
        raise ConnectionStringError(
            "the connection string can't be read: the name of its host has an empty part between dots, a part of more "
            "than 63 characters, or characters that no name of a host has"
        )
    if not _PORTS.fullmatch(str(parts.get("port", ""))):
        raise ConnectionStringError("the connection string can't be read: its port is not a number")
    if not re.fullmatch(r"-?\d*", str(parts.get("connect_timeout", ""))):
        raise ConnectionStringError("the connection string can't be read: its connect_timeout is not a number")
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
    """The text between the host and the parameters."""
    return url.partition("://")[2].partition("?")[0].partition("/")[2]


def _parts(conninfo: str) -> dict[str, str | int | None] | None:
    """The parsed parts; None if it can't be parsed. The original error is dropped, because it quotes the string."""
    try:
        return dict(conninfo_to_dict(conninfo))
    except (psycopg.Error, ValueError):  # ValueError: a NUL character
        return None
