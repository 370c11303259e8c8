"""Apply fixes: replace exactly the characters that a fix names, and nothing else.

The file is not printed from a syntax tree. Libraries whose trees keep all whitespace fail, or take minutes, for
expressions that Python itself parses without trouble.
"""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from baton_lint.fixes.uses import uses_of_parameter
from baton_lint.source.decoding import UndecodableError, encoding_of, parse
from baton_lint.source.expressions import Columns

type Fix = tuple[str, bool, str, int, int, str, str]
type Position = tuple[int, int]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_TEXT: Final = re.compile(r"(?P<prefix>[rRuU]?)(?P<quote>\"\"\"|'''|\"|')(?P<text>[^\\\"'\n]*)(?P=quote)")
_BETWEEN: Final = re.compile(r"[ \t]*,\s*")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Change:
    """A file that fixes change."""

    path: str
    before: bytes
    after: bytes
    fixes: tuple[Fix, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A fix that was not applied, or a whole file that was left alone.

    Attributes:
        path: The file.
        place: Line and column of the fix; None for a file.
        reason: The reason, in a sentence.
    """

    path: str
    place: Position | None
    reason: str


class NotMendedError(Exception):
    """A fix can't be applied; the message says why."""


def plan_all(fixes: Iterable[Fix], buffers: Mapping[str, bytes]) -> tuple[list[Change], list[Left]]:
    """Compute what fixes change, file by file.

    Args:
        fixes: The fixes; see `baton_lint.fixes.plan`.
        buffers: The content of files that are not saved.

    Returns:
        The changes, and the fixes and files that are left alone.
    """
    by_path: dict[str, list[Fix]] = {}
    for fix in dict.fromkeys(fixes):
        by_path.setdefault(fix[2], []).append(fix)
    changes: list[Change] = []
    left: list[Left] = []
    for path, here in sorted(by_path.items()):
        try:
            change = _change(path, here, buffers.get(path), left)
        except NotMendedError as error:
            left.append(Left(path, None, str(error)))
        else:
            if change is not None:
                changes.append(change)
    return changes, left


def write_all(changes: Iterable[Change], is_inside: Callable[[str], bool]) -> tuple[list[Change], list[Left]]:
    """Write changed files.

    Args:
        changes: The changes.
        is_inside: Says whether a path, with all links resolved, may be written: a link in a checked folder may lead to
            a file outside of it.

    Returns:
        The changes that were written, and those that could not be.
    """
    written: list[Change] = []
    left: list[Left] = []
    for change in changes:
        real = os.path.realpath(change.path)
        if real != os.path.abspath(change.path) and not is_inside(real):
            left.append(Left(change.path, None, f"it is a link to {real}, outside of the project"))
            continue
        try:
            _write(real, change.after)
        except OSError as error:
            left.append(Left(change.path, None, f"it can't be written: {error.strerror or error}"))
        else:
            written.append(change)
    return written, left


def _write(path: str, data: bytes) -> None:
    """Write the whole file or nothing. Its mode stays."""
    temporary = f"{path}.{os.getpid()}.baton"
    mode = stat.S_IMODE(os.stat(path).st_mode)
    # never write to an existing name, which could be a link
    descriptor = os.open(temporary, _NEW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _change(path: str, fixes: list[Fix], unsaved: bytes | None, left: list[Left]) -> Change | None:
    before = _bytes_of(path) if unsaved is None else unsaved
    source = _Source(before)
    edits = _Edits(source)
    done: list[Fix] = []
    for fix in fixes:
        try:
            edits.plan(fix)
            done.append(fix)
        except NotMendedError as error:
            left.append(Left(path, (fix[3], fix[4]), str(error)))
    if not done:
        return None
    after = source.replaced(edits.spans)
    if after == before:
        return None
    _parse(_decode(after)[0])  # raises if the result is broken: better no change than a broken file
    return Change(path, before, after, tuple(done))


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise NotMendedError(f"it can't be read: {error.strerror or error}") from None


def _decode(data: bytes) -> tuple[str, str, bytes]:
    """The text with its original line ends, its encoding, and its byte order mark."""
    try:
        encoding = encoding_of(data)
        mark = _MARK if data.startswith(_MARK) else b""
        return data[len(mark) :].decode(encoding), encoding, mark
    except (UndecodableError, UnicodeError, LookupError) as error:
        raise NotMendedError(f"it can't be decoded: {error}") from None


def _parse(text: str) -> ast.Module:
    try:
        return parse(_LINE_END.sub("\n", text))
    except (SyntaxError, ValueError) as error:
        raise NotMendedError(f"it can't be parsed: {error}") from None
    except (RecursionError, MemoryError):
        raise NotMendedError("it is nested too deeply") from None


class _Source:
    """A file by lines and columns, which count from 1 in characters."""

    def __init__(self, data: bytes) -> None:
        self.text, self.encoding, self.mark = _decode(data)
        if self.mark + self.text.encode(self.encoding, "replace") != data:
            raise NotMendedError(f"as {self.encoding} it would not be written as it was")
        self.tree = _parse(self.text)
        self.plain = _LINE_END.sub("\n", self.text)
        self.columns = Columns(self.plain)
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(self.text))]

    def offset(self, place: Position) -> int:
        """The offset of a place in `text`."""
        line, column = place
        if not 0 < line <= len(self._starts):
            raise NotMendedError("it has changed since the check")
        return self._starts[line - 1] + column - 1

    def span(self, node: ast.expr | ast.arg | ast.keyword | ast.alias) -> tuple[int, int]:
        """The beginning and the end of a node in `text`."""
        line, column, end_line, end_column = self.columns.span(node)
        return self.offset((line, column)), self.offset((end_line, end_column))

    def replaced(self, spans: Mapping[tuple[int, int], str]) -> bytes:
        """The file with some spans replaced."""
        parts: list[str] = []
        position = 0
        for (start, end), new in sorted(spans.items()):
            if start < position:
                raise NotMendedError("two fixes overlap")
            parts += (self.text[position:start], new)
            position = end
        parts.append(self.text[position:])
        try:
            return self.mark + "".join(parts).encode(self.encoding)
        except UnicodeError:
            raise NotMendedError(f"the new name can't be written in {self.encoding}") from None


class _Edits:
    """The replacements for one file, collected from its fixes."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.spans: dict[tuple[int, int], str] = {}

    def plan(self, fix: Fix) -> None:
        """Add the replacements of a fix.

        Raises:
            NotMendedError: If it would do harm, or the file has changed.
        """
        kind, _, _, line, column, old, new = fix
        place = (line, column)
        match kind:
            case "rename":
                spans = self._rename(place, old, new)
            case "keyword":
                spans = self._keyword(place, new)
            case "string":
                spans = self._string(place, new)
            case "input":
                spans = self._input(place)
            case _:
                raise NotMendedError(f"no fix is called {kind}")
        if any(self.spans.get(span, text) != text for span, text in spans.items()):
            raise NotMendedError("another fix changes the same place")
        self.spans |= spans

    def _rename(self, place: Position, old: str, new: str) -> dict[tuple[int, int], str]:
        uses = uses_of_parameter(self.source.tree, self.source.plain, place, old, new)
        if uses is None:
            raise NotMendedError(f'renaming "{old}" to "{new}" could change what the function does')
        spans: dict[tuple[int, int], str] = {}
        for use in uses:
            start = self.source.offset(use)
            end = start + len(old)
            if self.source.text[start:end] != old:
                raise NotMendedError(f'"{old}" is spelled differently there')
            spans[start, end] = new
        return spans

    def _keyword(self, place: Position, new: str) -> dict[tuple[int, int], str]:
        for call in self._nodes(ast.Call):
            for word in call.keywords:
                if word.arg and self.source.columns.span(word)[:2] == place:
                    if new in [other.arg for other in call.keywords]:
                        raise NotMendedError(f'"{new}" is passed already')
                    start, end = self.source.span(word)
                    name = re.match(r"[^\s=#]+", self.source.text[start:end])
                    return {(start, start + len(name[0])): new} if name else {}
        raise NotMendedError("there is no keyword argument")

    def _string(self, place: Position, new: str) -> dict[tuple[int, int], str]:
        for node in self._nodes(ast.Constant):
            if isinstance(node.value, str) and self.source.columns.span(node)[:2] == place:
                start, end = self.source.span(node)
                literal = _TEXT.fullmatch(self.source.text, start, end)
                if literal is None or not new.isprintable() or set(new) & {"\\", '"', "'"}:
                    raise NotMendedError("the string is written in several parts or with escapes")
                return {(start, end): f"{literal['prefix']}{literal['quote']}{new}{literal['quote']}"}
        raise NotMendedError("there is no string")

    def _input(self, place: Position) -> dict[tuple[int, int], str]:
        for argument in self._nodes(ast.arg):
            if argument.annotation is not None and self.source.columns.span(argument)[:2] == place:
                start, end = self.source.span(argument.annotation)
                name, spans = self._input_name()
                return {**spans, (start, end): f"{name}[{self.source.text[start:end]}]"}
        raise NotMendedError("there is no annotated parameter")

    def _input_name(self) -> tuple[str, dict[tuple[int, int], str]]:
        """The name of `Input` in the module, and the import that it needs."""
        beside: ast.ImportFrom | None = None
        for node in self.source.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module in ("baton_dsl", "baton_dsl.step") and not node.level:
                for alias in node.names:
                    if alias.name == "Input":
                        return alias.asname or alias.name, {}
                if node.module == "baton_dsl" and node.names[0].name != "*":
                    beside = beside or node
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "baton_dsl":
                        return f"{alias.asname or alias.name}.Input", {}
        return "Input", {} if beside is None else self._import(beside.names)

    def _import(self, names: list[ast.alias]) -> dict[tuple[int, int], str]:
        """Insert `Input` into the imported names, in alphabetical order."""
        spans = [self.source.span(alias) for alias in names]
        between = self.source.text[spans[0][1] : spans[1][0]] if len(spans) > 1 else ", "
        if not _BETWEEN.fullmatch(between):  # a comment is in between
            between = ", "
        for alias, (start, _) in zip(names, spans, strict=True):
            if alias.name > "Input":
                return {(start, start): f"Input{between}"}
        return {(spans[-1][1], spans[-1][1]): f"{between}Input"}

    def _nodes[N: ast.AST](self, kind: type[N]) -> Iterable[N]:
        return (node for node in ast.walk(self.source.tree) if isinstance(node, kind))
