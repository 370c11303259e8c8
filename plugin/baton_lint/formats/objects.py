"""Findings as a JSON list of objects, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from baton_lint.formats.placing import Placed, Sources
from baton_lint.printing import takes_any_text


def render(findings: Sequence[Placed], sources: Sources) -> str:
    """Render a list with one object for each finding. All have the same keys; unknown values are null.

    A finding in a notebook also has the key `cell`, and its lines are those of the cell.
    """
    return json.dumps([_object(item) for item in findings], indent=2, ensure_ascii=not takes_any_text())


def _object(item: Placed) -> dict[str, Any]:
    finding, spot = item.finding, item.spot
    return {
        "path": spot.path,
        **({} if spot.cell is None else {"cell": spot.cell}),
        "line": spot.line,
        "column": spot.column,
        "end_line": spot.end_line,
        "end_column": spot.end_column,
        "code": finding.code,
        "slug": finding.slug,
        "message": finding.message,
        "help": finding.help,
        "url": finding.url,
        "flow": finding.flow,
        "step": finding.step,
    }
