"""What annotations and aliases look like in the text of a file: mypy's cache keeps no syntax."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from mypy.nodes import FuncDef


def annotations_in(path: str, function: FuncDef) -> dict[str, ast.expr]:
    """The annotations of a function as they are written; none if they can't be read."""
    lines = _lines(path)[function.line - 1 : function.end_line]
    head = "if True:\n" if function.column else ""
    try:
        nodes = ast.walk(ast.parse(head + "\n".join(lines)))
    except (SyntaxError, ValueError):
        return {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function.name:
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            written = {item.arg: item.annotation for item in every if item.annotation is not None}
            return {**written, "return": node.returns} if node.returns is not None else written
    return {}


def aliases_in(path: str) -> Mapping[str, Sequence[ast.expr]]:
    """What each name of a file that may be an alias with metadata stands for, in whichever branches."""
    status = _status(path)
    return {} if status is None else _read_aliases(path, *status)


@lru_cache(maxsize=64)
def _read_aliases(path: str, mtime: int, size: int) -> Mapping[str, Sequence[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    lines = _read(path, mtime, size)
    if any("Annotated" in line for line in lines):
        with suppress(SyntaxError, ValueError):
            _collect(ast.parse("\n".join(lines)).body, "", found)
    return found


def _collect(statements: Sequence[ast.stmt], prefix: str, found: dict[str, list[ast.expr]]) -> None:
    for statement in statements:
        match statement:
            case (
                ast.TypeAlias(name=ast.Name(id=name), value=value)
                | ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if isinstance(value, ast.Call) and len(value.args) == 2:  # `TypeAliasType("Json", ...)`
                    value = value.args[1]
                found.setdefault(f"{prefix}{name}", []).append(value)
            case ast.ClassDef():
                _collect(statement.body, f"{prefix}{statement.name}.", found)
            case ast.If() | ast.Try() | ast.With():
                for block in ("body", "orelse", "finalbody"):
                    _collect(getattr(statement, block, ()), prefix, found)
                for handler in getattr(statement, "handlers", ()):
                    _collect(handler.body, prefix, found)
            case _:
                pass


def _lines(path: str) -> tuple[str, ...]:
    status = _status(path)
    return () if status is None else _read(path, *status)


def _status(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _read(path: str, mtime: int, size: int) -> tuple[str, ...]:
    try:
        return tuple(Path(path).read_bytes().decode("utf-8", "replace").splitlines())
    except OSError:
        return ()


def unquoted(annotation: ast.expr) -> ast.expr:
    """An annotation, of which one that is written as a string is parsed."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        with suppress(SyntaxError, ValueError):
            return ast.parse(annotation.value, mode="eval").body
    return annotation


def items_of(annotation: ast.Subscript) -> list[ast.expr]:
    """What stands between the brackets."""
    index = annotation.slice
    return (index.elts if isinstance(index, ast.Tuple) else None) or [index]
