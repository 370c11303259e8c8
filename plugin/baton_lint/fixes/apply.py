"""Applies fixes with libcst: what a fix does not name stays as it was, to the last blank."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from baton_lint.fixes.uses import uses_of_parameter
from baton_lint.reading import UndecodableError, decode

try:
    import libcst
    from libcst.metadata import MetadataWrapper, PositionProvider
except ImportError as missing:
    _WHY: ImportError | None = missing
else:
    _WHY = None

type Fix = tuple[str, bool, str, int, int, str, str]
type Position = tuple[int, int]


class LibcstMissingError(Exception):
    """Fixes need libcst, which is not installed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file that fixes change."""

    path: str
    before: bytes
    after: bytes
    fixes: tuple[Fix, ...]


def apply_all(fixes: Iterable[Fix], *, write: bool) -> list[Change]:
    """Apply fixes, file by file. A file that they can't be applied to is left as it is.

    Args:
        fixes: What to do; see `baton_lint.fixes.plan`.
        write: Whether to write the files.

    Raises:
        LibcstMissingError: libcst is not installed.
    """
    if _WHY is not None:
        raise LibcstMissingError("fixes need libcst: pip install 'baton-dsl[lint]'") from _WHY
    by_path: dict[str, list[Fix]] = {}
    for fix in dict.fromkeys(fixes):
        by_path.setdefault(fix[2], []).append(fix)
    changes = [change for path, here in sorted(by_path.items()) if (change := _change(path, here))]
    if write:
        for change in changes:
            _write(change)
    return changes


def _write(change: Change) -> None:
    """All of the file or nothing; its mode stays."""
    temporary = f"{change.path}.baton"
    with open(temporary, "wb") as file:
        file.write(change.after)
    os.chmod(temporary, os.stat(change.path).st_mode)
    os.replace(temporary, change.path)


def _change(path: str, fixes: list[Fix]) -> Change | None:
    try:
        with open(path, "rb") as file:
            before = file.read()
        tree = ast.parse(decode(before))
        module = libcst.parse_module(before)
    except (OSError, UndecodableError, SyntaxError, ValueError, RecursionError, libcst.ParserSyntaxError):
        return None
    edits = _Edits()
    done = tuple(fix for fix in fixes if edits.plan(fix, tree, before))
    if not done:
        return None
    changed = _edited(module, tree, edits)
    after = _with_import(changed, edits).bytes
    if before.startswith(_MARK) and not after.startswith(_MARK):
        after = _MARK + after
    try:
        ast.parse(decode(after))
    except (UndecodableError, SyntaxError, ValueError):  # not what we meant: better nothing than a broken file
        return None
    return Change(path, before, after, done) if after != before else None


_MARK: Final = b"\xef\xbb\xbf"


class _Edits:
    """What to change, by position; lines and columns count from 1."""

    def __init__(self) -> None:
        self.names: dict[Position, str] = {}
        self.keywords: dict[Position, str] = {}
        self.strings: dict[Position, str] = {}
        self.inputs: set[Position] = set()
        self.input_name = "Input"
        self.needs_import = False

    def lines(self) -> list[int]:
        """The lines that change, in order."""
        return sorted({line for line, _ in (*self.names, *self.keywords, *self.strings, *self.inputs)})

    def plan(self, fix: Fix, tree: ast.Module, source: bytes) -> bool:
        """Take up a fix; false if it would do harm."""
        kind, _, _, line, column, old, new = fix
        place = (line, column)
        match kind:
            case "rename":
                uses = uses_of_parameter(tree, decode(source), place, old, new)
                if uses is None:
                    return False
                self.names |= dict.fromkeys(uses, new)
            case "keyword":
                if _has_keyword(tree, place, new):
                    return False
                self.keywords[place] = new
            case "string":
                self.strings[place] = new
            case "input":
                self.inputs.add(place)
                found = _how_input_is_called(tree)
                self.input_name, self.needs_import = found or "Input", found is None
            case _:
                return False
        return True


def _has_keyword(tree: ast.Module, place: Position, new: str) -> bool:
    """Whether the call that has a keyword at a place has the new one already."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(word.lineno == place[0] for word in node.keywords):
            names = [word.arg for word in node.keywords]
            if new in names:
                return True
    return False


def _how_input_is_called(tree: ast.Module) -> str | None:
    """How a module refers to `Input` already: `Input`, an alias, or `baton_dsl.Input`."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module in ("baton_dsl", "baton_dsl.step"):
            for alias in node.names:
                if alias.name == "Input":
                    return alias.asname or alias.name
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "baton_dsl":
                    return f"{alias.asname or alias.name}.Input"
    return None


if _WHY is None:

    class _Transformer(libcst.CSTTransformer):
        METADATA_DEPENDENCIES = (PositionProvider,)

        def __init__(self, edits: _Edits, offset: int) -> None:
            super().__init__()
            self.edits = edits
            self.offset = offset

        def _place(self, node: libcst.CSTNode) -> Position:
            start = self.get_metadata(PositionProvider, node).start
            return (start.line + self.offset, start.column + 1)

        def leave_Name(self, original_node: libcst.Name, updated_node: libcst.Name) -> libcst.Name:
            new = self.edits.names.get(self._place(original_node)) if self.edits.names else None
            return updated_node.with_changes(value=new) if new else updated_node

        def leave_Arg(self, original_node: libcst.Arg, updated_node: libcst.Arg) -> libcst.Arg:
            keyword = updated_node.keyword
            new = self.edits.keywords.get(self._place(original_node)) if keyword else None
            return updated_node.with_changes(keyword=libcst.Name(new)) if new else updated_node

        def leave_SimpleString(
            self, original_node: libcst.SimpleString, updated_node: libcst.SimpleString
        ) -> libcst.SimpleString:
            new = self.edits.strings.get(self._place(original_node)) if self.edits.strings else None
            if new is None:
                return updated_node
            quote = updated_node.quote
            return updated_node.with_changes(value=f"{updated_node.prefix}{quote}{new}{quote}")

        def leave_Param(self, original_node: libcst.Param, updated_node: libcst.Param) -> libcst.Param:
            annotation = updated_node.annotation
            if annotation is None or self._place(original_node) not in self.edits.inputs:
                return updated_node
            wrapped = libcst.Subscript(
                value=libcst.parse_expression(self.edits.input_name),
                slice=[libcst.SubscriptElement(libcst.Index(annotation.annotation))],
            )
            return updated_node.with_changes(annotation=annotation.with_changes(annotation=wrapped))


def _edited(module: libcst.Module, tree: ast.Module, edits: _Edits) -> libcst.Module:
    """The module with all edits made.

    Positions are what is slow in libcst, so they are only asked for in the statements that change: each is looked at
    as a module of its own, whose lines begin elsewhere.
    """
    body = list(module.body)
    lines = edits.lines()
    for index, first, end in _statements(module, tree):
        decorators = getattr(first, "decorator_list", None) or [first]
        span = range(decorators[0].lineno, end + 1)
        if any(line in span for line in lines):
            alone = MetadataWrapper(module.with_changes(header=(), footer=(), body=[body[index]]))
            named = alone.module.body[0]
            anchor = named.name if isinstance(named, libcst.FunctionDef | libcst.ClassDef) else named
            line = alone.resolve(PositionProvider)[anchor].start.line
            body[index] = alone.visit(_Transformer(edits, first.lineno - line)).body[0]
    return module.with_changes(body=body)


def _statements(module: libcst.Module, tree: ast.Module) -> Iterator[tuple[int, ast.stmt, int]]:
    """Each statement of libcst's module by its index, with the first of `ast`'s that it holds, and the last line.

    `a; b` is one statement to libcst, and two to `ast`.
    """
    position = 0
    for index, statement in enumerate(module.body):
        count = len(statement.body) if isinstance(statement, libcst.SimpleStatementLine) else 1
        held = tree.body[position : position + count]
        if held:
            yield index, held[0], held[-1].end_lineno or held[-1].lineno
        position += count


def _with_import(module: libcst.Module, edits: _Edits) -> libcst.Module:
    """The module, importing `Input` beside what it imports from us already."""
    if not edits.needs_import:
        return module
    statements = list(module.body)
    for position, statement in enumerate(statements):
        if not isinstance(statement, libcst.SimpleStatementLine):
            continue
        for small_position, small in enumerate(statement.body):
            if (
                isinstance(small, libcst.ImportFrom)
                and isinstance(small.module, libcst.Name)
                and small.module.value == "baton_dsl"
                and not isinstance(small.names, libcst.ImportStar)
            ):
                body = list(statement.body)
                body[small_position] = small.with_changes(names=_with_name(list(small.names)))
                statements[position] = statement.with_changes(body=body)
                return module.with_changes(body=statements)
    return module


def _with_name(names: list[libcst.ImportAlias]) -> list[libcst.ImportAlias]:
    """The imported names with `Input` at its place in the alphabet."""
    position = next((index for index, alias in enumerate(names) if alias.evaluated_name > "Input"), len(names))
    comma = libcst.Comma(whitespace_after=libcst.SimpleWhitespace(" "))
    for alias in names[:-1]:
        if isinstance(alias.comma, libcst.Comma):
            comma = alias.comma
            break
    if position == len(names):
        last = names[-1]
        new = libcst.ImportAlias(libcst.Name("Input"), comma=last.comma)
        return [*names[:-1], last.with_changes(comma=comma), new]
    new = libcst.ImportAlias(libcst.Name("Input"), comma=comma)
    return [*names[:position], new, *names[position:]]
