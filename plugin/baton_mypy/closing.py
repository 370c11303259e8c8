"""Find out whether a call shows the whole flow, or steps are added later with `.add(...)`.

A hook sees only one call, so the statements of the module are read: is the call the start of a chain, is it passed to a
function that may add steps, is `.add` called on the name to which it is assigned?
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from mypy.nodes import (
    AssignmentStmt,
    AwaitExpr,
    Block,
    CallExpr,
    ClassDef,
    Decorator,
    DictExpr,
    Expression,
    ExpressionStmt,
    ForStmt,
    FuncDef,
    IfStmt,
    ListExpr,
    MatchStmt,
    MemberExpr,
    MypyFile,
    NameExpr,
    OverloadedFuncDef,
    ReturnStmt,
    Statement,
    TryStmt,
    TupleExpr,
    WhileStmt,
    WithStmt,
)

from baton_mypy.literals import called


class Ending(Enum):
    """What happens to a flow after a call."""

    CLOSED = "closed"
    """Nothing is added: every step of the flow is known."""

    CHAINED = "chained"
    """`.add` or `.options` is called directly on the result; the outermost call of the chain sees the whole flow."""

    OPEN = "open"
    """Other code may add steps."""


_CHANGING: Final = ("add", "options")
"""Methods that return another flow: without a name of its own, the flow before is not used."""


def ending_of(call: CallExpr, module: MypyFile) -> Ending:
    """What happens to the flow that a call of `Flow(...)`, of `.add(...)` or of `.options(...)` returns."""
    for statement in _around(module.defs, call.line, call.end_line or call.line):
        for expression in _expressions(statement):
            ending = _within(expression, call)
            if ending is None:
                continue
            return Ending.OPEN if ending is Ending.CLOSED and _is_added_to(statement, module) else ending
    return Ending.OPEN


def grows_later(call: CallExpr, module: MypyFile) -> bool:
    """Whether the copy of a flow that a call returns is assigned to a name on which `.add` is called."""
    return any(
        _within(statement.rvalue, call) is Ending.CLOSED and _is_added_to(statement, module)
        for statement in _around(module.defs, call.line, call.end_line or call.line)
        if isinstance(statement, AssignmentStmt)
    )


def _is_added_to(statement: Statement, module: MypyFile) -> bool:
    """Whether `.add` is called on the name that a statement assigns to."""
    if not isinstance(statement, AssignmentStmt):
        return False
    names = {target.name for target in statement.lvalues if isinstance(target, NameExpr | MemberExpr)}
    return not names.isdisjoint(_all_added_to(module))


def _within(expression: Expression, call: CallExpr) -> Ending | None:
    """The position of the call in an expression: alone, at the start of a chain, or deeper. None if it is not in it."""
    if expression is call:
        return Ending.CLOSED
    if isinstance(expression, AwaitExpr):
        return _within(expression.expr, call)
    if isinstance(expression, CallExpr):
        inner = _within(expression.callee.expr, call) if isinstance(expression.callee, MemberExpr) else None
        if inner is not None:
            return Ending.CHAINED if inner is Ending.CLOSED and called(expression) in _CHANGING else inner
        # a function that gets a flow may add steps to it, but not to one that only begins a chain
        return next((Ending.CHAINED for item in expression.args if _within(item, call) is Ending.CHAINED), None)
    if isinstance(expression, ListExpr | TupleExpr):
        return next((ending for item in expression.items if (ending := _within(item, call))), None)
    if isinstance(expression, DictExpr):
        return next((ending for _, item in expression.items if (ending := _within(item, call))), None)
    return None


def _expressions(statement: Statement) -> Iterator[Expression]:
    match statement:
        case AssignmentStmt():
            yield statement.rvalue
        case ExpressionStmt():
            yield statement.expr
        case ReturnStmt(expr=Expression() as expression):
            yield expression
        case WithStmt():
            yield from statement.expr


def _blocks(statement: Statement) -> Iterator[Block]:
    match statement:
        case AssignmentStmt() | ExpressionStmt() | ReturnStmt():  # most statements have none
            pass
        case FuncDef():
            yield statement.body
        case Decorator():
            yield statement.func.body
        case ClassDef():
            yield statement.defs
        case OverloadedFuncDef():
            for item in statement.items:
                yield from _blocks(item)
        case IfStmt():
            yield from statement.body
            if statement.else_body:
                yield statement.else_body
        case ForStmt() | WhileStmt():
            yield statement.body
            if statement.else_body:
                yield statement.else_body
        case WithStmt():
            yield statement.body
        case TryStmt():
            yield statement.body
            yield from statement.handlers
            yield from (block for block in (statement.else_body, statement.finally_body) if block)
        case MatchStmt():
            yield from statement.bodies
        case Block():
            yield statement


def _around(statements: list[Statement], first: int, last: int) -> Iterator[Statement]:
    """The statements that contain some lines, from the outside in."""
    for statement in statements:
        if statement.line <= first and last <= (statement.end_line or last):
            yield statement
            for block in _blocks(statement):
                yield from _around(block.body, first, last)


_last: tuple[list[Statement], frozenset[str]] | None = None
"""A cache with the statements of the last module, so that a module with many flows is read once."""


def _all_added_to(module: MypyFile) -> frozenset[str]:
    """The names in a module on which `.add` is called."""
    global _last
    if _last is None or _last[0] is not module.defs:  # the daemon gives a module that was edited new statements
        _last = (module.defs, frozenset(_added_to(module.defs)))
    return _last[1]


def _added_to(statements: list[Statement]) -> Iterator[str]:
    """The names on which a statement calls `.add`, alone or at the end of a chain."""
    for statement in statements:
        for expression in _expressions(statement):
            while isinstance(expression, CallExpr) and isinstance(expression.callee, MemberExpr):
                called, expression = expression.callee.name, expression.callee.expr
                if called == "add" and isinstance(expression, NameExpr | MemberExpr):
                    yield expression.name
        for block in _blocks(statement):
            yield from _added_to(block.body)
