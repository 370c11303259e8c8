"""Parse annotations, aliases and classes from the text of a file, because mypy's cache keeps no syntax."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from mypy.nodes import FuncDef


def annotations_in(path: str, function: FuncDef) -> dict[str, ast.expr]:
    """The annotations of a function as they are written; empty if they can't be read."""
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
    """The values of each name in a file that may be an alias with metadata, in all branches."""
    status = _status(path)
    return {} if status is None else _read_aliases(path, *status)


@lru_cache(maxsize=64)
def _read_aliases(path: str, mtime: int, size: int) -> Mapping[str, Sequence[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    lines = _read(path, mtime, size)
    if any("Annotated" in line or "TYPE_CHECKING" in line for line in lines):
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


class Absent(NamedTuple):
    """Names that a file binds only for type checkers.

    Attributes:
        names: The names.
        stars: The modules from which it imports all names at run time, each with its dots.
        is_rebuilt: True if a model in it gets its names at run time in another way (`model_rebuild`).
    """

    names: frozenset[str] = frozenset()
    stars: tuple[tuple[int, str], ...] = ()
    is_rebuilt: bool = False


_FLAG: Final = "TYPE_CHECKING"
_NONE_ABSENT: Final = Absent()


def absent_in(path: str) -> Absent:
    """The names that a file binds under `if TYPE_CHECKING:` and nowhere else."""
    status = _status(path)
    return _NONE_ABSENT if status is None else _read_absent(path, *status)


@lru_cache(maxsize=64)
def _read_absent(path: str, mtime: int, size: int) -> Absent:
    lines = _read(path, mtime, size)
    if not any(_FLAG in line for line in lines):
        return _NONE_ABSENT
    bound = _Bound(set(), set(), set(), [])
    with suppress(SyntaxError, ValueError):
        statements = ast.parse("\n".join(lines)).body
        bound.flags.update(_flags(statements))
        _bind(statements, bound, is_absent=False)
    found = frozenset(bound.absent - bound.present)
    return Absent(found, tuple(bound.stars), any("rebuild" in line for line in lines))


class _Bound(NamedTuple):
    """The names that a file binds at run time and for type checkers, its names of `TYPE_CHECKING`, its star imports."""

    present: set[str]
    absent: set[str]
    flags: set[str]
    stars: list[tuple[int, str]]


def _bind(statements: Sequence[ast.stmt], bound: _Bound, *, is_absent: bool) -> None:
    """Add the names that statements bind."""
    names = bound.absent if is_absent else bound.present
    for statement in statements:
        match statement:
            case ast.ImportFrom(names=[ast.alias(name="*")], module=module, level=level):
                if not is_absent:
                    bound.stars.append((level, module or ""))
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.TypeAlias(name=ast.Name(id=name)):
                names.add(name)
            case ast.If(test=test) if _is_type_checking(test, bound.flags):
                _bind(statement.body, bound, is_absent=True)
                _bind(statement.orelse, bound, is_absent=is_absent)
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=test)) if _is_type_checking(test, bound.flags):
                _bind(statement.body, bound, is_absent=is_absent)
                _bind(statement.orelse, bound, is_absent=True)
            case _:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        names.add(node.id)
                for inner in ast.iter_child_nodes(statement):
                    blocks = [inner] if isinstance(inner, ast.stmt) else getattr(inner, "body", ())
                    if isinstance(blocks, list):
                        _bind([item for item in blocks if isinstance(item, ast.stmt)], bound, is_absent=is_absent)


def _is_type_checking(test: ast.expr, flags: Collection[str]) -> bool:
    """Whether a condition is true only for type checkers."""
    match test:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in flags
        case ast.BoolOp(op=ast.And(), values=parts):
            return any(_is_type_checking(part, flags) for part in parts)
        case _:
            return False


def _flags(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """The names of `TYPE_CHECKING` in a file."""
    yield _FLAG
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            yield from (alias.asname for alias in statement.names if alias.name == _FLAG and alias.asname)


def quoted_aliases_in(path: str) -> Mapping[str, Sequence[ast.expr]]:
    """The values of each name in a file that may be an alias, with or without metadata."""
    status = _status(path)
    return {} if status is None else _read_all_aliases(path, *status)


@lru_cache(maxsize=64)
def _read_all_aliases(path: str, mtime: int, size: int) -> Mapping[str, Sequence[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    with suppress(SyntaxError, ValueError):
        _collect(ast.parse("\n".join(_read(path, mtime, size))).body, "", found)
    return found


def quoted_names_in(annotation: ast.expr) -> Iterator[str]:
    """The names in strings of an annotation, which are evaluated when it is used."""
    if isinstance(annotation, ast.Constant):
        yield from names_in(annotation)
    for part in _parts(annotation):
        yield from quoted_names_in(part)


def names_in(annotation: ast.expr) -> Iterator[str]:
    """The names in an annotation, in order; of a dotted name, the first part."""
    annotation = unquoted(annotation)
    match annotation:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=value):
            yield from names_in(value)
        case ast.Subscript(value=form):
            yield from names_in(form)
        case _:
            pass
    for part in _parts(annotation):
        yield from names_in(part)


def names_in_order(annotation: ast.expr) -> Iterator[str]:
    """The same in the order in which Python evaluates them: those in strings within the annotation come last."""
    yield from _names_outside_strings(unquoted(annotation))
    yield from names_in(annotation)


def _names_outside_strings(annotation: ast.expr) -> Iterator[str]:
    match annotation:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=form) | ast.Subscript(value=form):
            yield from _names_outside_strings(form)
        case _:
            pass
    for part in _parts(annotation):
        yield from _names_outside_strings(part)


def _parts(annotation: ast.expr) -> Sequence[ast.expr]:
    """The types inside an annotation."""
    match annotation:
        case ast.Subscript(value=form):
            word = form.attr if isinstance(form, ast.Attribute) else form.id if isinstance(form, ast.Name) else ""
            items = items_of(annotation)
            return items[:1] if word == "Annotated" else () if word == "Literal" else items
        case ast.BinOp(left=left, right=right):
            return left, right
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return items
        case _:
            return ()


def classes_in(path: str) -> Mapping[str, ast.ClassDef]:
    """The classes of a file by qualified name, without those that are defined more than once."""
    status = _status(path)
    return {} if status is None else _read_classes(path, *status)


@lru_cache(maxsize=16)
def _read_classes(path: str, mtime: int, size: int) -> Mapping[str, ast.ClassDef]:
    found: dict[str, ast.ClassDef | None] = {}

    def collect(node: ast.AST, prefix: str) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.ClassDef):
                name = f"{prefix}{inner.name}"
                found[name] = None if name in found else inner
                collect(inner, f"{name}.")
            elif not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
                collect(inner, prefix)

    with suppress(SyntaxError, ValueError):
        collect(ast.parse("\n".join(_read(path, mtime, size))), "")
    return {name: definition for name, definition in found.items() if definition is not None}


def _lines(path: str) -> tuple[str, ...]:
    status = _status(path)
    return () if status is None else _read(path, *status)


def _status(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - asked for each step, and a Path takes longer to make
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
    """Parse an annotation that is a string; return any other unchanged."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        with suppress(SyntaxError, ValueError):
            return ast.parse(annotation.value, mode="eval").body
    return annotation


def items_of(annotation: ast.Subscript) -> list[ast.expr]:
    """The arguments between the brackets."""
    index = annotation.slice
    return (index.elts if isinstance(index, ast.Tuple) else None) or [index]
