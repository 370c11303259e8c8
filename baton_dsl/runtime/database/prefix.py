"""Check the names of schemas that Oban and baton-dsl can use."""

from __future__ import annotations

import re
from typing import Final

from baton_dsl.errors import PrefixError

_PREFIX: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RESERVED: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
    except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
    is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
    only or order outer overlaps placing primary references returning right select session_user similar some
    symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when
    where window with
    """.split()  # noqa: SIM905 - one word a line would be three pages
)
"""Words that can't be the name of a schema without quotes (PostgreSQL's documentation, appendix C)."""


def checked_prefix(prefix: str) -> str:
    """Check a schema name: Oban writes it into its SQL without quotes.

    Raises:
        PrefixError: If the name would need quotes.
    """
    if not _PREFIX.fullmatch(prefix) or prefix in _RESERVED:
        raise PrefixError(f"the prefix {prefix!r} would need quotes, which Oban does not write")
    return prefix
