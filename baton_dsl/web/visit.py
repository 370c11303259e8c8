"""One request: its user's access, its parameters, and its database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

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
        """The path under which the dashboard is mounted, quoted for a URL; empty if it is served alone."""
        return quote(self._root)

    @property
    def _root(self) -> str:
        root: str = self.request.scope.get("root_path", "")
        return root.rstrip("/")

    @property
    def page(self) -> str:
        """The path of the page within the dashboard, such as `/workflow`."""
        path: str = self.request.scope["path"]
        return path.removeprefix(self._root) or "/"

    def asked(self, name: str) -> str:
        """A parameter of the query; empty if it is missing."""
        return self.request.query_params.get(name, "")

    def number(self, name: str) -> int:
        """A parameter of the query as a number; 0 if it is missing or not a number."""
        text = self.asked(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    def url(self, path: str, **parameters: Any) -> str:
        """The address of a page of the dashboard, wherever it is mounted.

        Args:
            path: Its path within the dashboard, such as `/workflow`.
            parameters: Its query; None and empty values are left out.
        """
        given = {name: str(value) for name, value in parameters.items() if value not in (None, "", False)}
        query = urlencode(given, errors="backslashreplace")
        return f"{self.base}{path}" + (f"?{query}" if query else "")

    def ways(self, path: str, last: str, **parameters: Any) -> Callable[[str], str]:
        """The addresses of many pages that differ in one parameter.

        Args:
            path: The path of the pages within the dashboard.
            last: The name of that parameter.
            parameters: The other parameters.
        """
        begin = self.url(path, **parameters)
        begin += f"{'&' if '?' in begin else '?'}{last}="
        return lambda value: begin + quote_plus(value, errors="backslashreplace")

    def url_with(self, **parameters: Any) -> str:
        """The address of this page with some parameters changed, at its beginning."""
        kept = {name: value for name, value in self.request.query_params.items() if name not in ("at", "before")}
        return self.url(quote(self.page), **{**kept, **parameters})

    async def read[T](self, reading: Reading[T]) -> T:
        """Read from the database, in a read-only transaction."""
        assert self.database is not None, "the user is authorized before anything is read"
        return await read(self.database, reading)
