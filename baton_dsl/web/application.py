"""`app`: the dashboard as an ASGI application, and what all its requests have in common."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baton_dsl.errors import BatonError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.silence import WatchedAsyncConnection
from baton_dsl.web import access, actions, budgets, downloads, fleet, health, lists, pages
from baton_dsl.web.access import Authorize, Refused
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

log: Final = logging.getLogger("baton_dsl.web")

STATIC: Final = Path(__file__).parent / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content security policy: pages load only this dashboard's own files, and have no inline scripts or styles."""
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

PATIENCE: Final = 5
"""Seconds for a connection."""

type Endpoint = Callable[[Visit], Awaitable[Response]]


def app(
    dsn: str | None = None,
    *,
    prefix: str | None = None,
    oban: str = "Oban",
    authorize: Authorize | None = None,
    packages: Collection[str] = (),
) -> Starlette:
    """Create the dashboard as an ASGI application, to serve alone or to mount under any path of another application.

    If it is mounted, it uses the pool of the application's Oban instance, or else connects for each request. If it is
    served alone, it has its own pool.

    Args:
        dsn: The database; default: that of the Oban instance, else of `BATON_DSN` or `OBAN_DSN`.
        prefix: The schema of Oban's tables; default: that of the Oban instance, else of `OBAN_PREFIX`.
        oban: The name of the Oban instance whose pool is used.
        authorize: A sync or async function that gets the request and returns what its user may do: None for nothing,
            `"read"` to look at everything, `"operate"` to do everything. Without it, only browsers on this machine have
            access.
        packages: The top-level packages of the deployed code, which must be importable here. The dashboard then shows
            which running workflows this code can't finish.

    Raises:
        ExtraMissingError: BTN420, if the extra `web` is not installed.

    Example:
        ```python
        api = FastAPI()
        api.mount("/workflows", web.app(authorize=lambda request: "read"))
        ```
    """
    dashboard = _Dashboard(dsn, prefix, oban, authorize, tuple(sorted(packages)))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with dashboard.connected():
            yield

    made = Starlette(routes=dashboard.routes(), lifespan=lifespan)
    made.add_middleware(_Headers)
    return made


class _Dashboard:
    def __init__(
        self, dsn: str | None, prefix: str | None, oban: str, authorize: Authorize | None, packages: tuple[str, ...]
    ) -> None:
        self._named = (dsn, prefix, oban)
        self._database: Database | None = None
        self._authorize = authorize
        self._packages = packages

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Open a pool for as long as the application serves."""
        database = self.database()
        if database.conninfo is None:  # the pool of the Oban instance is used
            yield
            return
        given = conninfo_to_dict(database.conninfo)
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            database.conninfo,
            connection_class=WatchedAsyncConnection,
            min_size=0,
            max_size=8,
            timeout=PATIENCE,
            # Whoever asks next begins anew: pauses that grow would keep a database that is back from being found.
            reconnect_timeout=PATIENCE,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": given.get("connect_timeout") or PATIENCE,
            },
            open=False,
        )
        await pool.open()
        self._database = replace(database, pool=pool)
        try:
            yield
        finally:
            self._database = database
            await pool.close()

    def database(self) -> Database:
        """The database. It may be unknown until the application has started its Oban instance."""
        if self._database is None:
            dsn, prefix, oban = self._named
            database = Database.configured(dsn=dsn, prefix=prefix, oban=oban)
            if database.conninfo is None:
                return database
            self._database = database
        return self._database

    def routes(self) -> list[BaseRoute]:
        """The routes of all pages and files."""
        return [
            self._get("/", lists.answer),
            self._get("/workflow", pages.workflow),
            self._get("/workflow/inputs", downloads.inputs),
            self._get("/step", pages.step),
            self._get("/step/result", downloads.result),
            self._get("/queues", fleet.serving),
            self._get("/deploy", fleet.deployed),
            self._get("/health", health.answer),
            Route("/action", self._answering(actions.confirm), methods=["GET"]),
            Route("/action", self._answering(actions.act, level="operate"), methods=["POST"]),
            Route("/budget", self._answering(budgets.ask), methods=["GET"]),
            Route("/budget", self._answering(budgets.approved, level="operate"), methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{path:path}", self._answering(pages.nowhere), methods=["GET"]),
        ]

    def _get(self, path: str, endpoint: Endpoint) -> Route:
        return Route(path, self._answering(endpoint), methods=["GET"])

    def _answering(
        self, endpoint: Endpoint, *, level: access.Level = "read"
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            visit = Visit(request=request, level=None, database=None, packages=self._packages)
            try:
                allowed = await access.level_of(request, self._authorize)
                visit = replace(visit, level=allowed, database=self.database())
                if level == "operate" and allowed != "operate":
                    access.note(request, f"was refused {request.method} {visit.page}: has read access only")
                    raise Refused(403, "Read only", "You may read this dashboard, but not operate.")
                response = await endpoint(visit)
            except Refused as refused:
                response = _refusal(visit, refused)
            except HTTPException as error:  # how an `authorize` of an application asks for a login
                response = _refusal(visit, Refused(error.status_code, "No access", error.detail), error.headers)
            except (WorkflowNotFoundError, StepNotInWorkflowError) as error:
                response = _refusal(visit, Refused(404, "Not found", error.message, error.remedy))
            except BatonError as error:
                response = _refusal(visit, Refused(409, "Not done", error.message, error.remedy))
            except Exception as error:  # noqa: BLE001 - the page reports an error, and the log has the details
                response = _refusal(visit, _of_error(error, visit))
            access.keep_token(request, response, visit.base)
            return _with_tag(request, response)

        return answer


def _of_error(error: Exception, visit: Visit) -> Refused:
    if isinstance(error, psycopg.Error) and visit.database:
        explained = schema.explain_missing(error, visit.database.prefix)
        if explained is not None:
            return Refused(503, "No tables", explained.message, explained.remedy)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        reason = error.diag.message_primary or "the role of the dashboard lacks a privilege"
        return Refused(403, "Not allowed", f"The database refused: {reason}.", "See docs/how-to/privileges.md.")
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Refused(503, "Too slow", "The database did not answer in time.", "Narrow the filter, or try again.")
    if isinstance(error, (psycopg.OperationalError, PoolTimeout)):
        log.warning("the database can't be reached: %s", " ".join(str(error).split()))
        return Refused(503, "No database", "The database can't be reached.", "The log of the dashboard says why.")
    log.error("a page could not be rendered", exc_info=error)
    return Refused(
        500, "Error", "The page could not be rendered because of an error.", "The log of the dashboard has it."
    )


def _refusal(visit: Visit, refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    response = render(visit, "refused.html", status=refused.status, refused=refused)
    response.headers["baton-problem"] = refused.title  # what a page that is live says
    response.headers.update(headers or {})
    return response


def _with_tag(request: Request, response: Response) -> Response:
    """Answer 304 if the browser already has the same page, because live pages are requested every two seconds."""
    response.headers["cache-control"] = "private, no-cache"
    if request.method != "GET" or response.status_code != 200 or isinstance(response, StreamingResponse):
        return response
    tag = f'W/"{blake2b(response.body, digest_size=12).hexdigest()}"'
    response.headers["etag"] = tag
    if request.headers.get("if-none-match") != tag:
        return response
    kept = {name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")}
    return Response(status_code=304, headers=kept)


@dataclass(frozen=True, slots=True)
class _Headers:
    """Adds the security headers to every response, including static files and errors."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *given]
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
