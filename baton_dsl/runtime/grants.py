"""The GRANT statements for the roles of an application. `docs/how-to/privileges.md` shows the same ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from baton_dsl.runtime.database.prefix import checked_prefix

_GRANTS: Final = files("baton_dsl.runtime.sql.grants")
_ROLES: Final = {"worker": "worker", "insert": "inserter", "operate": "operator", "read": "reader"}
"""The name of the role in each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The roles that get privileges, by what they do.

    Attributes:
        worker: Roles that run steps: `baton worker`.
        insert: Roles that only insert workflows. They can read no workflow, not even their own.
        operate: Roles that cancel, retry, pause, resume, prune and rerun workflows, and read everything.
        read: Roles that read everything and change nothing: status, results, doctor.
    """

    worker: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def statements(self, prefix: str = "public") -> list[str]:
        """The GRANT statements. The owner of the tables runs them after the tables were created.

        Args:
            prefix: The schema.

        Raises:
            PrefixError: BTN410, if the prefix is not allowed.
        """
        return list(self._statements(checked_prefix(prefix)))

    def _statements(self, prefix: str) -> Iterator[str]:
        for file, role in _ROLES.items():
            text = _GRANTS.joinpath(f"{file}.sql").read_text("utf-8")
            text = re.sub(r"\bjobs\b", prefix, text)
            for name in getattr(self, file):
                quoted = name.replace('"', '""')
                yield from (
                    f'{statement.removesuffix(role)}"{quoted}"' for statement in text.rstrip().rstrip(";").split(";\n")
                )
