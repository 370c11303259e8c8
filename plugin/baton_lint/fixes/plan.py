"""Plan the fix for a finding, if one is certain.

A fix is `(kind, is_safe, path, line, column, old, new)`, which the cache can store:

    rename    the parameter at that place, and its uses in the body
    keyword   the keyword argument at that place
    string    the string at that place
    input     wraps the annotation of the parameter at that place in `Input[...]`
"""

from __future__ import annotations

from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.spec import FlowSpec, Place
from baton_lint.program.analysis import Analysis

type Fix = tuple[object, ...]

NONE: Final[Fix] = ()


class Planner:
    """Plans fixes.

    Args:
        analysis: All flows and findings: a fix of a step that is in two flows must be right for both.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._flows_of: dict[Place, set[int]] = {}
        self._sources: dict[Place, tuple[str, str | None]] = {}
        self._given: set[str] = set()
        self._keys: set[Place] = set()
        for index, flow in enumerate(analysis.flows):
            self._learn(index, flow)
        self._suggested: dict[Place, set[str | None]] = {}
        for finding in analysis.every:
            if finding.code == "BTN102" and finding.place is not None:
                self._suggested.setdefault(finding.place, set()).add(finding.suggestion)
        self._complaints: dict[Place, set[int]] = analysis.complaints

    def _learn(self, index: int, flow: FlowSpec) -> None:
        for call in flow.inserts:
            self._given |= set(call.arguments)
            if call.is_mapping:
                self._keys |= {argument.place for argument in call.arguments.values() if argument.place}
        for step in flow.steps:
            for reference in (*step.after, *step.deps):
                if reference.place:
                    self._flows_of.setdefault(reference.place, set()).add(index)
            for parameter in step.parameters:
                if parameter.place:
                    self._flows_of.setdefault(parameter.place, set()).add(index)
                    self._sources[parameter.place] = (parameter.name, parameter.source)
                if parameter.is_input:
                    self._given.add(parameter.name)

    def fix(self, finding: Diagnostic) -> Fix:
        """The fix of a finding; empty if there is none."""
        place = finding.place
        if place is None:
            return NONE
        if finding.code == "BTN102":
            return self._missing(finding, place)
        if finding.code == "BTN303" and finding.suggestion and finding.parameter:
            kind = "string" if place in self._keys else "keyword"
            return _fix(kind, True, place, finding.parameter if kind == "keyword" else "", finding.suggestion)
        if finding.code == "BTN305" and finding.suggestion:
            return _fix("keyword", True, place, "", finding.suggestion)
        return NONE

    def _missing(self, finding: Diagnostic, place: Place) -> Fix:
        if finding.parameter is None:
            if finding.suggestion and self._holds_everywhere(place):
                return _fix("string", True, place, "", finding.suggestion)
            return NONE
        name, source = self._sources.get(place, (finding.parameter, None))
        if name != source:
            return NONE  # From(...) names the upstream
        if name in self._given:
            return _fix("input", False, place, name, "Input")
        if finding.suggestion and self._holds_everywhere(place):
            return _fix("rename", True, place, name, finding.suggestion)
        return NONE

    def _holds_everywhere(self, place: Place) -> bool:
        """Whether every flow with the step has this finding, with the same suggestion."""
        return (
            self._complaints.get(place, set()) >= self._flows_of.get(place, set())
            and len(self._suggested.get(place, ())) == 1
        )


def _fix(kind: str, is_safe: bool, place: Place, old: str, new: str) -> Fix:
    return (kind, is_safe, place.path, place.line, place.column, old, new)
