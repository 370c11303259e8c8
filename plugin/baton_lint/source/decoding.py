"""Decode source files as Python does (PEP 263)."""

from __future__ import annotations

import ast
import codecs
import re
import warnings
from typing import Final

_COOKIE: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_TEMPLATE: Final = re.compile(r"""(?<![\w.])([rR]?)[tT]([rR]?["'])""")
_EXCEPT: Final = re.compile(r"^([ \t]*except\b[ \t*]*)([\w.]+(?:[ \t]*,[ \t]*[\w.]+)+[ \t]*:)", re.MULTILINE)
_LAZY: Final = re.compile(r"^([ \t]*lazy)[ \t](?=[ \t]*(?:import|from)\b)", re.MULTILINE)
_BLANK: Final = re.compile(rb"^[ \t\f]*(?:#.*)?$")


class UndecodableError(ValueError):
    """The bytes are not Python source; the message says why."""


def decode(data: bytes) -> str:
    """The text of a source file, with line feeds at the ends of lines and without a byte order mark.

    Raises:
        UndecodableError: If the encoding is unknown, the bytes don't fit it, or there are null bytes.
    """
    encoding = encoding_of(data)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        raise UndecodableError("source code can't contain null bytes")
    try:
        text = data.decode(encoding)
    except LookupError:
        raise UndecodableError(f"unknown encoding {encoding}") from None
    except (UnicodeError, ValueError) as error:
        raise UndecodableError(f"it is not {encoding}: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse(text: str) -> ast.Module:
    """The syntax tree of a text. Syntax warnings are ignored.

    Warnings are for people who run the code. As errors (`python -W error`), they would look like parse errors.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If it contains characters that source can't have.
        RecursionError: If it is nested too deeply; or MemoryError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except SyntaxError as error:
            older = written_older(text)
            if older == text:
                raise
            try:
                return ast.parse(older)
            except SyntaxError:
                raise error from None


def written_older(text: str) -> str:
    """Rewrite syntax of Python 3.14 and 3.15 so that Python 3.12 can parse it, with every name at its place.

    Template strings become f-strings, and `except A, B:` becomes `except A| B:`. Both evaluate the same names, and the
    analysis needs nothing inside them. `lazy import a` becomes `lazy;import a`, which binds the same name. libcst could
    parse the first two, but crashes on deep nesting.
    """
    text = _LAZY.sub(r"\1;", _TEMPLATE.sub(r"\1f\2", text))
    return _EXCEPT.sub(lambda match: match[1] + match[2].replace(",", "|"), text)


def encoding_of(data: bytes) -> str:
    """The encoding of a source file.

    Raises:
        UndecodableError: If it declares two different ones.
    """
    encoding = declared_encoding(data.removeprefix(codecs.BOM_UTF8)) or "utf-8"
    if encoding != "utf-8" and data.startswith(codecs.BOM_UTF8):
        raise UndecodableError(f"it has a byte order mark of UTF-8, but says that it is {encoding}")
    return encoding


def declared_encoding(data: bytes) -> str | None:
    """The encoding in a cookie in the first two lines, normalized; None without a cookie."""
    for line in data[:2000].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n", 2)[:2]:
        found = _COOKIE.match(line)
        if found:
            name = found.group(1).decode("ascii", "replace").lower().replace("_", "-")
            return "utf-8" if name in ("utf-8", "utf8") or name.startswith("utf-8-") else name
        if not _BLANK.match(line):
            return None
    return None
