"""Render pages from templates. Everything is escaped, including characters that hide or reverse text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from baton_dsl.core.tracebacks import folded
from baton_dsl.core.wording import duration, last_exception, money, printable_lines, size
from baton_dsl.version import __version__
from baton_dsl.web.access import token_of
from baton_dsl.web.graph import GLYPHS, counts_in_words, shares, shortened
from baton_dsl.web.reads import SHOWN
from baton_dsl.web.visit import Visit

_STATIC: Final = Path(__file__).parent / "static"


def _visible(value: Any) -> Any:
    """Escape characters in a value that would hide or reverse the text around them."""
    if type(value) is str:
        if value.isprintable():
            return value
        return printable_lines(value.expandtabs(4))
    return "" if value is None else value


def clock(moment: datetime | None) -> Markup:
    """A time in UTC, which the browser shows in the reader's own zone."""
    if moment is None:
        return Markup("-")
    at = moment.astimezone(UTC)
    return Markup('<time datetime="{}" data-local>{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC"
    )


def ago(moment: datetime | None, now: datetime) -> Markup:
    """How long ago a time was, with the time itself as a tooltip."""
    if moment is None:
        return Markup("-")
    seconds = (now - moment).total_seconds()
    text = f"{coarse(seconds)} ago" if seconds >= 0 else f"in {coarse(-seconds)}"
    at = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", text
    )


def coarse(seconds: float) -> str:
    """Format a duration in its largest unit.

    Example:
        >>> coarse(0.4), coarse(75), coarse(7300), coarse(200_000)
        ('0 s', '1 min', '2 h', '2 d')
    """
    for unit, least in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= least * (2 if unit == "d" else 1):
            return f"{int(seconds // least):,} {unit}"
    return f"{int(seconds)} s"


def plain(value: Any) -> str:
    """Format plain data as indented JSON, and cut it if it is too long."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def pretty(text: str | None) -> str:
    """Indent JSON; a text that was cut, or is not JSON, stays as it is."""
    if text is None:
        return ""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("baton_dsl.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": ago,
        "clock": clock,
        "coarse": coarse,
        "duration": duration,
        "folded": folded,
        "last_exception": last_exception,
        "money": money,
        "plain": plain,
        "pretty": pretty,
        "shares": shares,
        "shortened": shortened,
        "size": size,
        "counts_in_words": counts_in_words,
    }
    environment.globals |= {"glyphs": GLYPHS, "version": __version__, "fingerprint": _fingerprint()}
    return environment


def _fingerprint() -> str:
    """A hash of the static files for their addresses, so that browsers reload them when they change."""
    state = blake2b(digest_size=6)
    for path in sorted(_STATIC.rglob("*")):
        if path.is_file():
            state.update(path.read_bytes())
    return state.hexdigest()


def render(visit: Visit, template: str, *, status: int = 200, **values: Any) -> Response:
    """Render a page.

    Args:
        visit: The request.
        template: The name of the template.
        status: The HTTP status.
        values: The variables of the template.
    """
    made = _environment().get_template(template)
    token, now = token_of(visit.request), datetime.now(UTC)
    text = made.render(visit=visit, url=visit.url, now=now, csrf=token, **values)
    return HTMLResponse(text, status)
