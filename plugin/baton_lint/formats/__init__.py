"""Output formats: one module for each, with `render(findings, sources) -> str`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from baton_lint.formats.placing import Placed, Sources

type Renderer = Callable[[Sequence[Placed], Sources], str]


def renderer(form: str) -> Renderer:
    """The function that renders a format. Only its module is imported."""
    match form:
        case "full":
            from baton_lint.formats.full import render
        case "github":
            from baton_lint.formats.github import render
        case "json":
            from baton_lint.formats.objects import render
        case "sarif":
            from baton_lint.formats.sarif import render
        case _:
            from baton_lint.formats.lines import render
    return render
