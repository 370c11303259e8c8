"""Findings as SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from baton_dsl.core.rules import CATALOGUE
from baton_dsl.version import __version__
from baton_lint.findings import Finding, Remark

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def render(findings: Sequence[Finding], shown: Callable[[str], str]) -> str:
    """One run, with the rules that found something."""
    codes = sorted({finding.code for finding in findings})
    index = {code: position for position, code in enumerate(codes)}
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "baton-lint",
                        "semanticVersion": __version__,
                        "informationUri": "https://baton-dsl.readthedocs.io/",
                        "rules": [_rule(code, findings) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, index[finding.code], shown) for finding in findings],
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _rule(code: str, findings: Sequence[Finding]) -> dict[str, Any]:
    rule = CATALOGUE[code]
    url = next(finding.url for finding in findings if finding.code == code)
    return {
        "id": code,
        "name": rule.slug,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "helpUri": url,
    }


def _result(finding: Finding, index: int, shown: Callable[[str], str]) -> dict[str, Any]:
    text = finding.message if finding.help is None else f"{finding.message}\n{finding.help}"
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": _location(shown(finding.path), *finding[1:5])}],
    }
    related = [_related(remark, shown) for remark in finding.remarks if remark.path is not None]
    if related:
        result["relatedLocations"] = related
    return result


def _related(remark: Remark, shown: Callable[[str], str]) -> dict[str, Any]:
    location = _location(shown(remark.path or ""), *remark[2:6])
    return {"message": {"text": remark.message}, "physicalLocation": location}


def _location(path: str, line: int, column: int, end_line: int, end_column: int) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": quote(path)},
        "region": {
            "startLine": line,
            "startColumn": column,
            "endLine": max(end_line, line),
            "endColumn": max(end_column, 1),
        },
    }
