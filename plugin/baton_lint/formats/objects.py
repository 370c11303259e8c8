"""Findings as a JSON list of objects, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from baton_lint.findings import Finding


def render(findings: Sequence[Finding], shown: Callable[[str], str]) -> str:
    """A list, one object a finding, with the same keys always; what is not known is null."""
    return json.dumps(
        [
            {
                "path": shown(finding.path),
                "line": finding.line,
                "column": finding.column,
                "end_line": finding.end_line,
                "end_column": finding.end_column,
                "code": finding.code,
                "slug": finding.slug,
                "message": finding.message,
                "help": finding.help,
                "url": finding.url,
                "flow": finding.flow,
                "step": finding.step,
            }
            for finding in findings
        ],
        indent=2,
        ensure_ascii=False,
    )
