"""Expressions as plain tuples, so that facts can be marshalled to a cache or another process.

Each is `(kind, place, ...)`; a place is `(line, column, end_line, end_column)`, all counted from 1 in characters:

    ("name", place, identifier)
    ("attr", place, value, attribute)
    ("const", place, value)                     a string, number, bytes, bool, None or Ellipsis
    ("string", place)         a string with unknown content, such as an f-string
    ("sub", place, value, index)
    ("tuple", place, items)   ("list", place, items)
    ("dict", place, ((key, value), ...), whole) without unpacked mappings; whole if there are none
    ("star", place, value)
    ("or", place, left, right)                  `left | right`
    ("call", place, function, arguments, ((keyword or None, place, value), ...))
    ("lambda", place)
    ("?", place)                                anything else: unknown to the analyzer
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

type Span = tuple[int, int, int, int]
type Expression = tuple[Any, ...]

DEEPEST: Final = 60
"""The most levels of nesting that are kept. Annotations are never deeper; deeper data is unknown."""
MOST_ITEMS: Final = 10_000
"""The most items of a tuple or list that are kept."""
LONGEST_CHAIN: Final = 1_200
"""The most dots and calls of a chain that are kept; marshal fails at 2,000 levels."""
LONGEST_TEXT: Final = 4_000
"""The most characters of a string that are kept."""


_TEXTS: Final = (str, bytes)
"""A tuple, because `isinstance` with a union is slower, and there are ten thousands of expressions."""


class Columns:
    """Columns of one file in characters, where `ast` counts bytes."""

    def __init__(self, text: str) -> None:
        self.lines: list[str] | None = None if text.isascii() else text.split("\n")

    def __call__(self, line: int, offset: int) -> int:
        """The column, counted from 1, of a byte offset, counted from 0."""
        if self.lines is None:
            return offset + 1
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return (offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))) + 1

    def span(self, node: ast.expr | ast.arg | ast.keyword | ast.stmt | ast.alias | ast.type_param) -> Span:
        """The place of a node."""
        place = vars(node)  # faster than one attribute after the other
        line, end_line = place["lineno"], place["end_lineno"]
        if self.lines is None:
            return (line, place["col_offset"] + 1, end_line, place["end_col_offset"] + 1)
        return (line, self(line, place["col_offset"]), end_line, self(end_line, place["end_col_offset"]))


def encode(node: ast.expr, columns: Columns, depth: int = 0) -> Expression:
    """Encode an `ast` expression as a tuple."""
    kind = type(node)
    if kind is ast.Call or kind is ast.Attribute:
        return _encode_chain(node, columns, depth)
    span = columns.span(node)
    if kind is ast.Name:
        return ("name", span, node.id)  # type: ignore[attr-defined]
    encoder = _ENCODERS.get(kind)
    return ("?", span) if encoder is None or depth > DEEPEST else encoder(node, span, columns, depth + 1)


def _constant(node: ast.Constant, span: Span, columns: Columns, depth: int) -> Expression:
    value = node.value
    if isinstance(value, _TEXTS) and len(value) > LONGEST_TEXT:
        return ("string", span) if isinstance(value, str) else ("?", span)
    return ("const", span, value)


def _negative(node: ast.UnaryOp, span: Span, columns: Columns, depth: int) -> Expression:
    match node:
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)) if not isinstance(value, bool):
            return ("const", span, -value)
        case _:
            return ("?", span)


def _subscript(node: ast.Subscript, span: Span, columns: Columns, depth: int) -> Expression:
    return ("sub", span, encode(node.value, columns, depth), encode(node.slice, columns, depth))


def _items(node: ast.Tuple | ast.List, span: Span, columns: Columns, depth: int) -> Expression:
    if len(node.elts) > MOST_ITEMS:
        return ("?", span)
    kind = "tuple" if isinstance(node, ast.Tuple) else "list"
    return (kind, span, tuple([encode(item, columns, depth) for item in node.elts]))


def _dict(node: ast.Dict, span: Span, columns: Columns, depth: int) -> Expression:
    if len(node.keys) > MOST_ITEMS:
        return ("?", span)
    pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
    items = tuple([(encode(key, columns, depth), encode(value, columns, depth)) for key, value in pairs])
    return ("dict", span, items, len(items) == len(node.keys))


def _starred(node: ast.Starred, span: Span, columns: Columns, depth: int) -> Expression:
    return ("star", span, encode(node.value, columns, depth))


def _either(node: ast.BinOp, span: Span, columns: Columns, depth: int) -> Expression:
    if not isinstance(node.op, ast.BitOr):
        return ("?", span)
    return ("or", span, encode(node.left, columns, depth), encode(node.right, columns, depth))


_ENCODERS: Final[dict[type[ast.expr], Callable[[Any, Span, Columns, int], Expression]]] = {
    ast.Constant: _constant,
    ast.JoinedStr: lambda node, span, columns, depth: ("string", span),
    ast.UnaryOp: _negative,
    ast.Subscript: _subscript,
    ast.Tuple: _items,
    ast.List: _items,
    ast.Dict: _dict,
    ast.Starred: _starred,
    ast.BinOp: _either,
    ast.Lambda: lambda node, span, columns, depth: ("lambda", span),
}


def _encode_chain(node: ast.expr, columns: Columns, depth: int) -> Expression:
    """Encode dots and calls iteratively, from left to right: a flow with a thousand `.add(...)` is that deep."""
    links: list[ast.Call | ast.Attribute] = []
    start = node
    while True:
        if type(start) is ast.Call:
            links.append(start)
            start = start.func
        elif type(start) is ast.Attribute:
            links.append(start)
            start = start.value
        else:
            break
    if len(links) > LONGEST_CHAIN:
        return ("?", columns.span(node))
    expression = encode(start, columns, depth + 1)
    for link in reversed(links):
        span = columns.span(link)
        if isinstance(link, ast.Attribute):
            expression = ("attr", span, expression, link.attr)
        elif len(link.args) > MOST_ITEMS or depth > DEEPEST:
            expression = ("?", span)
        else:
            expression = (
                "call",
                span,
                expression,
                tuple([encode(item, columns, depth + 1) for item in link.args]),
                tuple(
                    [(word.arg, columns.span(word), encode(word.value, columns, depth + 1)) for word in link.keywords]
                ),
            )
    return expression


def parse(text: str, span: Span) -> Expression:
    """Parse the expression in a string annotation. Every part gets the place of the string."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ("?", span)
    return _moved(encode(node, Columns(text)), span)


def _moved(expression: Expression, span: Span) -> Expression:
    kind = expression[0]
    match kind:
        case "attr":
            return (kind, span, _moved(expression[2], span), expression[3])
        case "sub" | "or":
            return (kind, span, _moved(expression[2], span), _moved(expression[3], span))
        case "tuple" | "list":
            return (kind, span, tuple(_moved(item, span) for item in expression[2]))
        case "star":
            return (kind, span, _moved(expression[2], span))
        case "dict":
            items = tuple((_moved(key, span), _moved(value, span)) for key, value in expression[2])
            return (kind, span, items, expression[3])
        case "call":
            function, arguments, keywords = expression[2:]
            return (
                kind,
                span,
                _moved(function, span),
                tuple(_moved(item, span) for item in arguments),
                tuple((name, span, _moved(value, span)) for name, _, value in keywords),
            )
        case _:
            return (kind, span, *expression[2:])


def shape(expression: Expression) -> Hashable:
    """An annotation without its places, so that every `list[Order]` of a file has the same shape.

    None for expressions that are rare in annotations, such as calls.
    """
    kind = expression[0]
    if kind == "name":
        name: str = expression[2]
        return name
    if kind == "const":
        return (kind, type(expression[2]), expression[2])
    if kind == "attr":
        parts: list[Hashable] = [shape(expression[2]), ("." + expression[3],)]
    elif kind == "sub" or kind == "or":
        parts = [shape(expression[2]), shape(expression[3])]
    elif kind == "tuple" or kind == "list":
        parts = [shape(item) for item in expression[2]]
    else:
        return None
    return None if None in parts else (kind, *parts)


def chain(expression: Expression) -> Iterator[Expression]:
    """An expression and the parts left of its dots and calls: for `a.b().c`, itself, `a.b()`, `a.b`, `a`."""
    while True:
        yield expression
        if expression[0] not in ("attr", "call"):
            return
        expression = expression[2]


def dotted(expression: Expression) -> str | None:
    """`a.b.c` as it is written, or None for anything but names and dots."""
    parts: list[str] = []
    for part in chain(expression):
        if part[0] == "attr":
            parts.append(part[3])
        elif part[0] == "name":
            parts.append(part[2])
        else:
            return None
    return ".".join(reversed(parts))
