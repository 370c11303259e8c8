"""Find where a function uses one of its parameters, for a safe rename."""

from __future__ import annotations

import ast

from baton_lint.source.expressions import Columns

type Position = tuple[int, int]


def uses_of_parameter(tree: ast.Module, text: str, place: Position, old: str, new: str) -> set[Position] | None:
    """The places of a parameter and of all its uses.

    Args:
        tree: The module.
        text: Its source.
        place: The line and column of the parameter, from 1.
        old: Its name.
        new: Its new name.

    Returns:
        The positions, or None if the rename could change what the function does: the new name is in use there, an
        inner function defines the old name itself, or names are read dynamically.
    """
    columns = Columns(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parameter = next((item for item in _parameters(node) if columns.span(item)[:2] == place), None)
            if parameter is not None:
                return _uses(node, parameter, columns, new) if parameter.arg == old else None
    return None


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.arg]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [item for item in every if item is not None]


def _uses(
    function: ast.FunctionDef | ast.AsyncFunctionDef, parameter: ast.arg, columns: Columns, new: str
) -> set[Position] | None:
    old = parameter.arg
    found = {columns.span(parameter)[:2]}
    if any(item.arg == new for item in _parameters(function)):
        return None
    for statement in function.body:
        for node in ast.walk(statement):
            match node:
                case ast.Name(identifier) if identifier == new:
                    return None
                case ast.Name(identifier) if identifier == old:
                    found.add(columns.span(node)[:2])
                case ast.Name("locals" | "vars" | "eval" | "exec"):
                    return None
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    if any(item.arg in (old, new) for item in _parameters(node)):
                        return None
                case ast.ClassDef():
                    return None  # names in the body of a class follow other rules
                case ast.Global(names) | ast.Nonlocal(names) if old in names or new in names:
                    return None
                case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
                    if name in (old, new):
                        return None
                case ast.alias(name, asname):
                    if (asname or name) in (old, new):
                        return None
                case _:
                    pass
    return found
