"""Turn the core's diagnostics into findings with their fixes."""

from __future__ import annotations

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import CATALOGUE, unused_ignore
from baton_dsl.core.spec import Place
from baton_lint.findings import Finding, Remark
from baton_lint.fixes.plan import Planner
from baton_lint.program.analysis import Analysis

NOWHERE = Place("", 1, 1, 1, 1)


def catalogue() -> dict[str, tuple[str, bool]]:
    """For each code, its slug and whether it is on by default."""
    return {code: (rule.slug, rule.by_default) for code, rule in CATALOGUE.items()}


def findings_of(analysis: Analysis) -> list[Finding]:
    """The findings of an analysis."""
    planner = Planner(analysis)
    return [finding_of(diagnostic, planner.fix(diagnostic)) for diagnostic in analysis.findings]


def unused_comment(path: str, span: tuple[int, int, int, int], code: str, *, exists: bool) -> Finding:
    """The finding for a suppression comment, or one of its codes, that ignores nothing."""
    return finding_of(unused_ignore.unused(code, Place(path, *span), exists=exists))


def finding_of(diagnostic: Diagnostic, fix: tuple[object, ...] = ()) -> Finding:
    """Convert a diagnostic to a finding, with its fix."""
    place = diagnostic.place or NOWHERE
    return Finding(
        path=place.path,
        line=place.line,
        column=place.column,
        end_line=place.end_line or place.line,
        end_column=place.end_column or place.column,
        code=diagnostic.code,
        slug=diagnostic.slug,
        message=diagnostic.message,
        help=diagnostic.help,
        suggestion=diagnostic.suggestion,
        flow=diagnostic.flow or None,
        step=diagnostic.step,
        parameter=diagnostic.parameter,
        remarks=tuple(_remark(note.message, note.place) for note in diagnostic.notes),
        fix=fix,
    )


def _remark(message: str, place: Place | None) -> Remark:
    if place is None:
        return Remark(message, None, 0, 0, 0, 0)
    return Remark(message, place.path, place.line, place.column, place.end_line, place.end_column)
