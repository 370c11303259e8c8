"""Find names that a module binds in several branches or star imports: mypy uses the first, but any may be the one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from mypy.nodes import (
    AssignmentStmt,
    Block,
    ClassDef,
    Decorator,
    ForStmt,
    FuncDef,
    IfStmt,
    ImportAll,
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
from mypy.util import correct_relative_import

_last: tuple[list[Statement], frozenset[str]] | None = None
"""A cache with the statements of the last module or class, which is nearly always the next one too.

The statements are the key, not the module: the daemon keeps a module that was edited, and gives it new statements.
"""


def varying(scope: MypyFile | TypeInfo, modules: Mapping[str, MypyFile]) -> frozenset[str]:
    """The names that a module or class binds more than once, at least once in a branch or by a star import."""
    global _last
    statements = scope.defs if isinstance(scope, MypyFile) else scope.defn.defs.body
    stars = [*_from_stars(scope, modules)] if isinstance(scope, MypyFile) else []
    if stars or _last is None or _last[0] is not statements:  # what a star import brings may change by itself
        bound = Counter((*_bound(statements), *stars))
        branched = {name for statement in statements for block in blocks(statement) for name in _bound(block.body)}
        branched.update(stars)
        _last = (statements, frozenset(name for name in branched if bound[name] > 1))
    return _last[1]


def _from_stars(module: MypyFile, modules: Mapping[str, MypyFile]) -> Iterator[str]:
    """Each name that a star import of a module defines."""
    for statement in module.imports:
        if isinstance(statement, ImportAll):
            is_package = module.is_package_init_file()
            name, _ = correct_relative_import(module.fullname, statement.relative, statement.id, is_package)
            imported = modules.get(name)
            for each, symbol in imported.names.items() if imported is not None else ():
                if symbol.module_public and not each.startswith("_"):
                    yield each


def blocks(statement: Statement) -> Iterator[Block]:
    """The blocks of a statement that may be skipped, without those that mypy considers unreachable."""
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
