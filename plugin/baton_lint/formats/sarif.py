"""Findings as SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from baton_dsl.core.rules import CATALOGUE
from baton_dsl.version import __version__
from baton_lint.formats.placing import Placed, Sources, Spot
from baton_lint.printing import takes_any_text

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def render(findings: Sequence[Placed], sources: Sources) -> str:
    """Render one run, with the rules that found something."""
    codes = sorted({item.finding.code for item in findings})
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
                "results": [_result(item, index[item.finding.code]) for item in findings],
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=not takes_any_text())


def _rule(code: str, findings: Sequence[Placed]) -> dict[str, Any]:
    rule = CATALOGUE[code]
    url = next(item.finding.url for item in findings if item.finding.code == code)
    return {
        "id": code,
        "name": rule.slug,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "helpUri": url,
    }


def _result(item: Placed, index: int) -> dict[str, Any]:
    finding, spot = item.finding, item.spot
    text = finding.message if finding.help is None else f"{finding.message}\n{finding.help}"
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": _in_cell(text, spot)},
        "locations": [{"physicalLocation": _location(spot)}],
    }
    related = [
        {"message": {"text": _in_cell(message, place)}, "physicalLocation": _location(place)}
        for message, place in item.remarks
        if place is not None
    ]
    if related:
        result["relatedLocations"] = related
    return result


def _in_cell(text: str, spot: Spot) -> str:
    return text if spot.cell is None else f"cell {spot.cell}:{spot.line}:{spot.column}: {text}"


def _location(spot: Spot) -> dict[str, Any]:
    region = {
        "startLine": spot.line,
        "startColumn": spot.column,
        "endLine": max(spot.end_line, spot.line),
        "endColumn": max(spot.end_column, 1),
    }
    if spot.cell is not None:  # lines of a notebook's file are none of its code
        region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    return {"artifactLocation": {"uri": _uri(spot)}, "region": region}


def _uri(spot: Spot) -> str:
    """The path as a URI, with special bytes quoted; relative if it is below the current folder."""
    return quote(os.fsencode(spot.file.removeprefix(os.getcwd() + os.sep)))
