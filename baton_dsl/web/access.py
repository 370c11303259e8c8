"""Control who may see the dashboard and who may operate: authorization, cross-site requests, and the audit log.

Before a request changes anything, three things are checked, each against a different attack: `authorize` must permit
the user to operate, the form must contain a token that only pages of this dashboard have, and the headers of the
browser must say that the request comes from this site. Other requests change nothing: they use read-only transactions.
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
"""The audit log: a line for each action, whether it was done or refused."""

COOKIE: Final = "baton_csrf"
FIELD: Final = "csrf"
LONGEST_FORM: Final = 64 * 1024
"""The most bytes of a form that are read."""

_LOCAL_NAMES: Final = frozenset(["localhost", "localhost.localdomain"])
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """A request that is refused.

    Attributes:
        status: The HTTP status.
        title: What happened, in a few words.
        message: The reason, in a sentence.
        remedy: What to do about it.
    """

    def __init__(self, status: int, title: str, message: str, remedy: str = "") -> None:
        self.status = status
        self.title = title
        self.message = message
        self.remedy = remedy
        super().__init__(message)


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is that of this machine only.

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
    """Check that a dashboard without authorization listens only on this machine.

    Raises:
        DashboardOpenError: BTN437, if it would be reachable from other machines.
    """
    if authorize is None and not is_loopback(host):
        raise DashboardOpenError.at(host)


async def level_of(request: Request, authorize: Authorize | None) -> Level:
    """What the user of a request may do.

    Without authorization, only browsers on this machine have access, and may do everything. Behind a proxy on this
    machine, all requests seem to be local, so requests with the headers of a proxy are refused. So are requests with
    a host name that is not a local one, because a page of another site could use it (DNS rebinding).

    Raises:
        Refused: If the user has no access.
    """
    if authorize is None:
        _check_local(request)
        return "operate"
    allowed = authorize(request)
    if inspect.isawaitable(allowed):
        allowed = await allowed
    if allowed is None:
        raise Refused(403, "No access", "You may not see this dashboard.", "Ask its operator for access.")
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
            "This dashboard has no authorization, so it answers only browsers on its own machine.",
            DashboardOpenError.default_remedy,
        )


def token_of(request: Request) -> str:
    """The token of this browser, from its cookie; a new one if it has none."""
    token: str | None = getattr(request.state, "baton_csrf", None)
    if token is None:
        given = request.cookies.get(COOKIE, "")
        token = given if len(given) == 43 and given.isascii() else secrets.token_urlsafe(32)
        request.state.baton_csrf = token
    return token


def keep_token(request: Request, response: Response, path: str) -> None:
    """Set the cookie with the token that the forms of a page contain."""
    token = token_of(request)
    if request.cookies.get(COOKIE) != token:
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, path=path or "/", httponly=True, samesite="strict", secure=is_secure)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form from a page of this dashboard.

    Raises:
        Refused: If another page has sent it, or it is not a form.
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
    """The user of a request as named in the audit log: the application's user, if any, and the address."""
    user = request.scope.get("user")
    name = getattr(user, "display_name", "") or getattr(user, "username", "")
    where = request.client.host if request.client else "an unknown address"
    return printable(f"{name} at {where}" if name else where)[:200]


def note(request: Request, done: str) -> None:
    """Write a line to the audit log."""
    audit.info("%s %s", who(request), printable(done)[:1000])
