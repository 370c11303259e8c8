"""The `Diagnostic`, one finding of any front end, and helpers for its wording."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from baton_dsl.core.spec import Place

SITE: Final = "https://baton-dsl.readthedocs.io/"
"""The documentation, as `mkdocs.yml` builds it."""


class Note(NamedTuple):
    """A remark that belongs to a diagnostic and has its own place."""

    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding: what is wrong, where, and what to do.

    Attributes:
        code: Stable, such as `BTN102`.
        slug: The name of the rule, such as `baton-missing-upstream`; mypy's error code.
        message: What is wrong there, in lower case with names in double quotes.
        help: What to do about it.
        suggestion: The name that the user probably meant, for a fix.
        flow: The flow that it is about.
        step: The step that it is about.
        parameter: The parameter that it is about.
        place: Its place in the source, if the front end knows it.
        notes: Further places: the upstream's definition, each hop of a cycle.
    """

    code: str
    slug: str
    message: str
    help: str | None = None
    suggestion: str | None = None
    flow: str | None = None
    step: str | None = None
    parameter: str | None = None
    place: Place | None = None
    notes: tuple[Note, ...] = ()

    @property
    def url(self) -> str:
        """The page of the rule."""
        return f"{SITE}rules/{self.code}"

    @property
    def headline(self) -> str:
        """The message with its code, on one line, without the place."""
        return f"{self.code}: {self.message}"

    def __str__(self) -> str:
        return f"{self.place}: {self.headline}" if self.place else self.headline

    def explain(self) -> str:
        """The finding as text for people: headline, notes, help and link, each on its own line."""
        lines = [str(self)]
        lines += [f"  {note.place}: {note.message}" if note.place else f"  {note.message}" for note in self.notes]
        if self.help:
            lines.append(f"  help: {self.help}")
        lines.append(f"  {self.url}")
        return "\n".join(lines)

    def in_flow(self, flow: str) -> Diagnostic:
        """A copy of the finding that names the flow."""
        return replace(self, flow=flow)

    def in_workflow(self, index: int) -> Diagnostic:
        """A copy of the finding that names one of several workflows that are inserted together."""
        return replace(self, message=f"workflows[{index}]: {self.message}")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a misspelt one, or None if none is near.

    A name that differs only in case, underscores or a plural "s" is always near. Otherwise the ratio of difflib
    decides, with its default cutoff of 0.6.
    """
    candidates = [candidate for candidate in known if candidate != name]
    plain = _plain(name)
    for candidate in candidates:
        if _plain(candidate) == plain:
            return candidate
    nearest = difflib.get_close_matches(name, candidates, n=1)
    return nearest[0] if nearest else None


def _plain(name: str) -> str:
    return name.replace("_", "").casefold().rstrip("s")


def quoted(names: Iterable[str], *, most: int = 8) -> str:
    """Names in double quotes, separated by commas. A long list is cut, and the rest is counted."""
    listed = list(names)
    shown = ", ".join(f'"{name}"' for name in listed[:most])
    rest = len(listed) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
