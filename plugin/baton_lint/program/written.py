"""Read how an annotation is written: perhaps as a string, and with arguments."""

from __future__ import annotations

from baton_lint.program.project import Project
from baton_lint.program.scopes import deferred
from baton_lint.source.expressions import Expression, parse


def evaluated_in(project: Project, path: str, scope: int) -> int:
    """The scope in which the annotations of a scope are evaluated."""
    facts = project.files.facts(path)
    return deferred(facts["scopes"], scope) if facts is not None and facts["is_deferred"] else scope


def unquoted(project: Project, path: str, scope: int, expression: Expression) -> tuple[int, Expression]:
    """Unquote an annotation that may be a string. Returns the scope in which it is evaluated, and the annotation."""
    while expression[0] == "const" and isinstance(expression[2], str):
        facts = project.files.facts(path)
        scope = deferred(facts["scopes"], scope) if facts is not None else scope
        expression = parse(expression[2], expression[1])
    return scope, expression


def arguments_of(expression: Expression) -> tuple[Expression, ...] | None:
    """The arguments between the brackets; None if there are no brackets."""
    if expression[0] != "sub":
        return None
    index: Expression = expression[3]
    if index[0] == "tuple":
        items: tuple[Expression, ...] = index[2]
        return items
    return (index,)
