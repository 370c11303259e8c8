"""Who may see the dashboard and who may operate: authorization, requests from elsewhere, and the audit log.

Three things stand between a request and a change, each enough against another attack: what `authorize` says of whoever
asks, a token that only pages of this dashboard hold, and what the browser says about the page that the request comes
from. Reading changes nothing, whatever the request is: pages are read in read-only transactions.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from baton_dsl.core.wording import printable
from baton_dsl.errors import DashboardOpenError

type Level = Literal["read", "operate"]
type Authorize = Callable[[Request], Level | Awaitable[Level | None] | None]

audit: Final = logging.getLogger("baton_dsl.web.audit")
"""Gets a line for each action, done or refused."""

COOKIE: Final = "baton_csrf"
FIELD: Final = "csrf"
LONGEST_FORM: Final = 64 * 1024
"""Bytes of a form that are read."""

_LOCAL_NAMES: Final = frozenset(["localhost", "localhost.localdomain"])
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """A request that is not answered.

    Attributes:
        status: The HTTP status.
        title: What happened, in a few words.
        message: Why, in a sentence.
        remedy: What to do about it.
    """

    def __init__(self, status: int, title: str, message: str, remedy: str = "") -> None:
        self.status = status
        self.title = title
        self.message = message
        self.remedy = remedy
        super().__init__(message)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("::1")
        (True, True, False, True)
    """
    if host.lower().rstrip(".") in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bound(host: str, authorize: Authorize | None) -> None:
    """See that a dashboard without authorization listens on this machine alone.

    Raises:
        DashboardOpenError: BTN437, if it would listen elsewhere.
    """
    if authorize is None and not is_loopback(host):
        raise DashboardOpenError.at(host)


async def level_of(request: Request, authorize: Authorize | None) -> Level:
    """What whoever asks may do.

    Without authorization, only somebody on this very machine may do anything, and then all. A proxy on this machine
    makes everybody look so: what came through one is refused, and so is a name of this machine that is not its own,
    with which a page from elsewhere could reach it.

    Raises:
        Refused: If it is nothing.
    """
    if authorize is None:
        _check_local(request)
        return "operate"
    allowed = authorize(request)
    if inspect.isawaitable(allowed):
        allowed = await allowed
    if allowed is None:
        raise Refused(403, "No access", "You may not see this dashboard.", "Ask whoever runs it for access.")
    if allowed not in ("read", "operate"):
        raise TypeError(f'authorize must return None, "read" or "operate", got {allowed!r}')
    return allowed


def _check_local(request: Request) -> None:
    client = request.client.host if request.client else ""
    server: tuple[str, int | None] | None = request.scope.get("server")
    named = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    is_local = is_loopback(client) and is_loopback(named) and (server is None or is_loopback(server[0]))
    if not is_local or any(name in request.headers for name in _FORWARDED):
        raise Refused(
            403,
            "No access",
            "This dashboard has no authorization, so it answers only to browsers on its own machine.",
            DashboardOpenError.default_remedy,
        )


def token_of(request: Request) -> str:
    """The token of this browser; a new one if it has none yet."""
    token: str | None = getattr(request.state, "baton_csrf", None)
    if token is None:
        given = request.cookies.get(COOKIE, "")
        token = given if len(given) == 43 and given.isascii() else secrets.token_urlsafe(32)
        request.state.baton_csrf = token
    return token


def keep_token(request: Request, response: Response, path: str) -> None:
    """Let the browser keep the token that the forms of a page hold."""
    token = token_of(request)
    if request.cookies.get(COOKIE) != token:
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, path=path or "/", httponly=True, samesite="strict", secure=is_secure)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that a page of this dashboard has sent.

    Raises:
        Refused: If another page has sent it, or it is no form.
    """
    _check_origin(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise Refused(413, "Too large", "The form is larger than any of this dashboard.")
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused(415, "Not a form", "Actions are sent as forms.")
    try:
        fields = {name: values[-1] for name, values in parse_qs(body.decode("ascii"), errors="strict").items()}
    except ValueError:
        raise Refused(400, "Not a form", "The form can't be read.") from None
    given = fields.pop(FIELD, "")
    kept = request.cookies.get(COOKIE, "")
    if not kept or not secrets.compare_digest(given.encode(), kept.encode()):
        raise Refused(
            403,
            "Not confirmed here",
            "The form did not come from a page of this dashboard that this browser has loaded.",
            "Load the page again, and confirm once more. The browser must accept cookies of this site.",
        )
    return fields


def _check_origin(request: Request) -> None:
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None and fetched != "same-origin":
        raise Refused(403, "Not confirmed here", "The form came from another site.")
    origin = request.headers.get("origin")
    if fetched is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, "Not confirmed here", "The form came from another site.")


def who(request: Request) -> str:
    """Who asks, as the audit log names them: the application's user if it has one, and where they are."""
    user = request.scope.get("user")
    name = getattr(user, "display_name", "") or getattr(user, "username", "")
    where = request.client.host if request.client else "an unknown address"
    return printable(f"{name} at {where}" if name else where)[:200]


def note(request: Request, done: str) -> None:
    """Write a line into the audit log."""
    audit.info("%s %s", who(request), printable(done)[:1000])
