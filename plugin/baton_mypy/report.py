"""Report a diagnostic as a mypy error: in the file that is being checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from mypy.nodes import Context

from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.spec import Place
from baton_mypy import codes

if TYPE_CHECKING:
    from mypy.checker import TypeChecker
    from mypy.errors import ErrorInfo

_ELSEWHERE: Final = 0
"""The line of a place in another module. With the real one, the text would differ between a cold and a warm run."""


def here(path: str, node: Context) -> Place:
    """The place of a node of the file that is being checked."""
    return Place(path, node.line, node.column + 1, node.end_line or node.line, (node.end_column or node.column) + 1)


def elsewhere(module: str) -> Place:
    """A place in another module, of which only the module's name is known."""
    return Place(module, _ELSEWHERE, 0)


def before(place: Place, keyword: str) -> Place:
    """The place of `keyword=value` from the place of its value, because mypy keeps none for the keyword."""
    return place._replace(column=max(place.column - len(keyword) - len("="), 1))


def report(findings: Iterable[Diagnostic], arguments: Mapping[str, Place], flow: Context, checker: TypeChecker) -> None:
    """Report each finding as an error with its notes.

    Args:
        findings: The findings of `check`.
        arguments: The place where each step is added to the flow, for findings about a step in another module.
        flow: The call that creates the flow, for findings without a place.
        checker: The checker of the module.
    """
    for finding in findings:
        place = finding.place
        if place is None or place.line == _ELSEWHERE:
            place = arguments.get(finding.step or "")
        context = flow if place is None else _context(place)
        error = checker.fail(finding.message, context, code=codes.OF_RULE[finding.slug])
        if finding.place is not None and finding.place.line == _ELSEWHERE:
            _note(Note(f'"{finding.step}" is defined in module "{finding.place.path}"'), context, error, checker)
        for note in finding.notes:
            _note(note, context, error, checker)
        if finding.help:
            _note(Note(f"help: {finding.help}"), context, error, checker)


def _note(note: Note, error_context: Context, error: ErrorInfo | None, checker: TypeChecker) -> None:
    """Report a note at its place. It is ignored if its error is ignored, and shown once if the error is repeated."""
    message, context = note.message, error_context
    if note.place is not None and note.place.line == _ELSEWHERE:
        message = f'{message} (module "{note.place.path}")'
    elif note.place is not None:
        context = _context(note.place)
    code = error.code if error is not None else codes.BATON
    checker.msg.note(message, context, code=code, origin_context=error_context, parent_error=error)


def _context(place: Place) -> Context:
    context = Context(place.line, place.column - 1)
    context.end_line = place.end_line or place.line
    context.end_column = max(place.end_column - 1, place.column)
    return context
