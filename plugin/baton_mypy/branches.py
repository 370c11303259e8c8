"""Names that a module or a class binds in more than one branch: mypy knows the first, and the run time any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mypy.nodes import (
    AssignmentStmt,
    Block,
    ClassDef,
    Decorator,
    ForStmt,
    FuncDef,
    IfStmt,
    ImportFrom,
    MatchStmt,
    MypyFile,
    NameExpr,
    OverloadedFuncDef,
    Statement,
    TryStmt,
    TypeInfo,
    WhileStmt,
    WithStmt,
)

_last: tuple[object, frozenset[str]] | None = None
"""The module or class that was looked at last: nearly always the next one too."""


def varying(scope: MypyFile | TypeInfo) -> frozenset[str]:
    """The names that a module or a class binds more than once, one of these times in a branch that may not be taken."""
    global _last
    if _last is None or _last[0] is not scope:
        statements = scope.defs if isinstance(scope, MypyFile) else scope.defn.defs.body
        bound = Counter(_bound(statements))
        branched = {name for statement in statements for block in blocks(statement) for name in _bound(block.body)}
        _last = (scope, frozenset(name for name in branched if bound[name] > 1))
    return _last[1]


def blocks(statement: Statement) -> Iterator[Block]:
    """The blocks of a statement that may be skipped, without those that mypy knows are never run."""
    match statement:
        case IfStmt():
            inner = [*statement.body, statement.else_body]
        case ForStmt() | WhileStmt():
            inner = [statement.body, statement.else_body]
        case TryStmt():
            inner = [statement.body, *statement.handlers, statement.else_body, statement.finally_body]
        case MatchStmt():
            inner = [*statement.bodies]
        case WithStmt():
            inner = [statement.body]
        case _:
            return
    for block in inner:
        if block is not None and not block.is_unreachable:
            yield block


def _bound(statements: Iterable[Statement]) -> Iterator[str]:
    """Each time that statements bind a name to a function or class, by an import or by an assignment."""
    for statement in statements:
        match statement:
            case FuncDef() | OverloadedFuncDef() | Decorator() | ClassDef():
                yield statement.name
            case ImportFrom():
                for name, alias in statement.names:
                    yield alias or name
            case AssignmentStmt():
                for target in statement.lvalues:
                    if isinstance(target, NameExpr):
                        yield target.name
            case _:
                for block in blocks(statement):
                    yield from _bound(block.body)
