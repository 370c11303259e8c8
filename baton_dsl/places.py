"""Find the source position of live functions and calls. Source is read only to report a finding."""

from __future__ import annotations

import ast
import linecache
import re
import sys
from dataclasses import dataclass
from itertools import islice
from types import CodeType, FunctionType
from typing import Final, NamedTuple

from baton_dsl.core.spec import Place


class CallSite(NamedTuple):
    """The site of a call. It is cheap to keep: its position is looked up only if there is something to report."""

    code: CodeType
    instruction: int

    @staticmethod
    def of_caller() -> CallSite:
        """The site at which the calling function was called."""
        frame = sys._getframe(2)
        return CallSite(frame.f_code, frame.f_lasti)

    def call(self) -> tuple[Source, ast.Call] | None:
        """The call in its parsed source; None if the source can't be read."""
        source = Source.of(self.code.co_filename)
        position = next(islice(self.code.co_positions(), self.instruction // 2, None), None)
        if source is None or position is None:
            return None
        _, end_line, _, end_column = position
        call = source.calls.get((end_line, end_column))
        return (source, call) if call is not None else None

    def place(self) -> Place | None:
        """The whole call."""
        found = self.call()
        return found[0].place(found[1]) if found else None

    def argument(self, index: int) -> Place | None:
        """The positional argument at `index`; the call itself if an unpacking hides which one it is."""
        found = self.call()
        if found is None:
            return None
        source, call = found
        before = call.args[: index + 1]
        if len(before) <= index or any(isinstance(argument, ast.Starred) for argument in before):
            return source.place(call)
        return source.place(call.args[index])

    def keyword(self, name: str) -> Place | None:
        """The keyword argument of that name; the call itself if it comes from an unpacking."""
        found = self.call()
        if found is None:
            return None
        source, call = found
        return next((source.place(word) for word in call.keywords if word.arg == name), source.place(call))

    def items(self, keyword: str) -> dict[str, Place]:
        """The places of the literal strings in a keyword's list or tuple."""
        found = self.call()
        return found[0].strings(found[1], keyword) if found else {}


@dataclass(frozen=True, slots=True)
class DefinitionPlaces:
    """The places of one function: its name, parameters, return annotation and decorator options."""

    name: Place | None = None
    result: Place | None = None
    parameters: dict[str, Place] | None = None
    options: dict[str, Place] | None = None
    after: dict[str, Place] | None = None

    @staticmethod
    def of(function: FunctionType) -> DefinitionPlaces:
        """The places of a live function; empty if its source can't be read."""
        source = Source.of(function.__code__.co_filename)
        node = source.definition(function.__name__, function.__code__.co_firstlineno) if source else None
        if source is None or node is None:
            return DefinitionPlaces()
        options: dict[str, Place] = {}
        after: dict[str, Place] = {}
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                options |= {word.arg: source.place(word) for word in decorator.keywords if word.arg}
                after |= source.strings(decorator, "after")
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
        return DefinitionPlaces(
            name=source.name_place(node),
            result=source.place(node.returns) if node.returns else None,
            parameters={argument.arg: source.place(argument) for argument in every if argument},
            options=options,
            after=after,
        )


class Source:
    """A parsed source file with an index of its calls and functions, because a flow may need thousands of places.

    Attributes:
        path: The path of the file.
        lines: Its lines.
        calls: The calls by their ends. No two calls share an end, while CPython does not always report their true
            start.
        functions: The functions by name, in no particular order.
    """

    def __init__(self, path: str, lines: list[str], tree: ast.Module) -> None:
        self.path = path
        self.lines = lines
        self.calls: dict[tuple[int | None, int | None], ast.Call] = {}
        self.functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self.calls[node.end_lineno, node.end_col_offset] = node
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.setdefault(node.name, []).append(node)

    @staticmethod
    def of(path: str) -> Source | None:
        """The file at a path, parsed once; None if it can't be read or parsed."""
        lines = linecache.getlines(path)
        if not lines:
            return None
        known = _parsed.get(path)
        if known is None or known[0] is not lines:  # linecache returns the same list until it reads the file again
            known = _parsed[path] = (lines, _parse(path, lines))
        return known[1]

    def definition(self, name: str, first_line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The function with a name and a first line, decorators included."""
        for node in self.functions.get(name, ()):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if first_line in (first, node.lineno):
                return node
        return None

    def place(self, node: ast.expr | ast.arg | ast.keyword) -> Place:
        """The place of a node."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return Place(
            self.path,
            node.lineno,
            self._column(node.lineno, node.col_offset),
            end_line,
            self._column(end_line, end_column),
        )

    def name_place(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Place:
        """The place of the name after `def`."""
        start = self._column(node.lineno, node.col_offset) - 1
        keyword = _DEF.match(self.lines[node.lineno - 1], start)
        start = keyword.end() if keyword else start
        return Place(self.path, node.lineno, start + 1, node.lineno, start + 1 + len(node.name))

    def strings(self, call: ast.Call, keyword: str) -> dict[str, Place]:
        """The places of the literal strings in the list or tuple that is passed as a keyword argument."""
        for word in call.keywords:
            if word.arg == keyword and isinstance(word.value, ast.Tuple | ast.List):
                return {
                    item.value: self.place(item)
                    for item in word.value.elts
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                }
        return {}

    def _column(self, line: int, offset: int) -> int:
        """Convert a column of ast, which counts bytes from 0, to one that counts characters from 1."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return len(text.encode()[:offset].decode(errors="replace")) + 1


_DEF: Final = re.compile(r"(async\s+)?def\s+")
_parsed: Final[dict[str, tuple[list[str], Source | None]]] = {}


def _parse(path: str, lines: list[str]) -> Source | None:
    try:
        return Source(path, lines, ast.parse("".join(lines)))
    except (SyntaxError, ValueError, RecursionError):
        return None
