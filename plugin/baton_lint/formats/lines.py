"""Findings as one line each, like a compiler's."""

from __future__ import annotations

from collections.abc import Sequence

from baton_lint.formats.placing import Placed, Sources


def render(findings: Sequence[Placed], sources: Sources) -> str:
    """Render each finding as `path:line:column: code: message`."""
    return "\n".join(f"{item.spot}: {item.finding.code}: {item.finding.message}" for item in findings)
