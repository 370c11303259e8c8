"""Show what fixes would change, as a unified diff."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from baton_lint.fixes.apply import Change
from baton_lint.source.decoding import declared_encoding


def difference(changes: Iterable[Change], shown: Callable[[str], str]) -> str:
    """One diff over all files; empty if nothing changes."""
    parts: list[str] = []
    for change in changes:
        encoding = declared_encoding(change.before) or "utf-8"
        path = shown(change.path)
        parts += [
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(
                _lines(change.before.decode(encoding, "replace")),
                _lines(change.after.decode(encoding, "replace")),
                path,
                path,
            )
        ]
    return "".join(parts).removesuffix("\n")


def _lines(text: str) -> list[str]:
    """Split lines as `patch` counts them: `str.splitlines` would also split at a form feed."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines
