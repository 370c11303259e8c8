"""Findings as workflow commands of GitHub Actions, which shows them beside the changed lines."""

from __future__ import annotations

from collections.abc import Sequence

from baton_lint.formats.placing import Placed, Sources


def render(findings: Sequence[Placed], sources: Sources) -> str:
    """Render one `::error` for each finding."""
    return "\n".join(_command(item) for item in findings)


def _command(item: Placed) -> str:
    finding, spot = item.finding, item.spot
    message = finding.message
    if spot.cell is None:
        lines = {"line": spot.line, "col": spot.column, "endLine": spot.end_line, "endColumn": spot.end_column}
    else:  # the lines of a notebook's file are not those of its code
        lines = {"line": 1, "col": 1, "endLine": 1, "endColumn": 1}
        message = f"cell {spot.cell}:{spot.line}:{spot.column}: {message}"
    properties = {
        "file": spot.path,
        **{name: str(value) for name, value in lines.items()},
        "title": f"{finding.code} {finding.slug}",
    }
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {listed}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
