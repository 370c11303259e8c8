"""One request: its user's access, its parameters, and its database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import Reading, read
from baton_dsl.web.access import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that is being answered.

    Attributes:
        request: Starlette's request.
        level: What the user may do; None if that is nothing, or not known yet.
        database: The database of the workflows; None until the user is authorized.
        packages: The top-level packages of the deployed code.
    """

    request: Request
    level: Level | None
    database: Database | None
    packages: tuple[str, ...] = ()

    @property
    def may_operate(self) -> bool:
        """Whether the user may change anything."""
        return self.level == "operate"

    @property
    def base(self) -> str:
        """The path under which the dashboard is mounted; empty if it is served alone."""
        root: str = self.request.scope.get("root_path", "")
        return root.rstrip("/")

    def asked(self, name: str) -> str:
        """A parameter of the query; empty if it is missing."""
        return self.request.query_params.get(name, "")

    def url(self, path: str, **parameters: Any) -> str:
        """The address of a page of the dashboard, wherever it is mounted.

        Args:
            path: Its path within the dashboard, such as `/workflow`.
            parameters: Its query; None and empty values are left out.
        """
        given = {name: str(value) for name, value in parameters.items() if value not in (None, "", False)}
        query = urlencode(given, errors="backslashreplace")
        return f"{self.base}{path}" + (f"?{query}" if query else "")

    def url_with(self, **parameters: Any) -> str:
        """The address of this page with some parameters changed, at its beginning."""
        kept = {name: value for name, value in self.request.query_params.items() if name not in ("at", "before")}
        path = self.request.url.path.removeprefix(self.base) or "/"
        return self.url(path, **{**kept, **parameters})

    async def read[T](self, reading: Reading[T]) -> T:
        """Read from the database, in a read-only transaction."""
        assert self.database is not None, "the user is authorized before anything is read"
        return await read(self.database, reading)
