"""Turn notebooks (`.ipynb`) into one text: their code cells in order, with IPython syntax blanked out.

Lines and columns of the cells are kept, so that a place in the text corresponds to a place in a cell.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from baton_lint.source.decoding import UndecodableError, parse
from baton_lint.source.extracting import NOWHERE, extract_text, failed
from baton_lint.source.facts import FileFacts

MAGICS_OF_PYTHON: Final = frozenset(
    {"capture", "debug", "ipytest", "prun", "pypy", "python", "python3", "time", "timeit"}
)
"""Cell magics (`%%time`) whose cells contain Python."""

_MAGIC: Final = re.compile(r"[ \t]*(?:[%!?]|[,;/](?=\w))")
_HELP: Final = re.compile(r"[ \t]*[\w.*%]+\?{1,2}[ \t]*;?[ \t]*$")
_ASSIGNED: Final = re.compile(r"([ \t]*[\w.,\[\]'\" \t]*[\w\]][ \t]*=[ \t]*)([%!])(?!=)")
_BLOCK: Final = re.compile(r"[ \t]*%%[ \t]*(\w*)")
_INDENT: Final = re.compile(r"[ \t]*")


class _NoPythonError(Exception):
    """The notebook is for another language."""


def extract_notebook(data: bytes) -> FileFacts:
    """The facts of one notebook. Never raises: what can't be read has an `error`."""
    try:
        cells = _cells(data)
    except UndecodableError as error:
        return failed(str(error), NOWHERE)
    except _NoPythonError:
        return extract_text("")
    facts = extract_text(_joined(cells))
    starts: list[tuple[int, int]] = []
    line = 1
    for number, text in cells:
        starts.append((line, number))
        line += text.count("\n") + 1
    facts["cells"] = starts
    return facts


def text_of(data: bytes) -> str:
    """The combined text of a notebook, with nothing blanked out.

    Raises:
        UndecodableError: If it is not a notebook.
    """
    try:
        return _joined(_cells(data, is_plain=True))
    except _NoPythonError:
        return ""


def _joined(cells: list[tuple[int, str]]) -> str:
    return "\n".join(text for _, text in cells)


def _cells(data: bytes, *, is_plain: bool = False) -> list[tuple[int, str]]:
    """The code cells, each with its number among all cells, from 1."""
    found: list[tuple[int, str]] = []
    for number, cell in enumerate(_all_cells(data), start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if not isinstance(source, str):
            continue
        text = source.replace("\r\n", "\n").replace("\r", "\n")
        found.append((number, text if is_plain else python_of(text)))
    return found


def _all_cells(data: bytes) -> list[Any]:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise UndecodableError("it is not a notebook: nested too deeply") from None
    except ValueError as error:
        raise UndecodableError(f"it is not a notebook: {error}") from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise UndecodableError("it is not a notebook of format 4: it has no cells")
    metadata = document.get("metadata")
    languages = [
        part.get(key)
        for name, key in (("kernelspec", "language"), ("language_info", "name"))
        if isinstance(metadata, dict) and isinstance(part := metadata.get(name), dict)
    ]
    if any(isinstance(language, str) and language.lower() not in ("python", "ipython", "") for language in languages):
        raise _NoPythonError
    return cells


def python_of(text: str) -> str:
    """The Python in a cell, line by line; magics, shell commands and help are replaced by code that does nothing."""
    block = _BLOCK.match(text.lstrip("\n"))
    if block is not None:
        blank = "\n" * (len(text) - len(text.lstrip("\n")))
        rest = text.lstrip("\n").partition("\n")[2]
        if block[1] not in MAGICS_OF_PYTHON:
            return "\n" * text.count("\n")
        text = f"{blank}\n{rest}" if "\n" in text.lstrip("\n") else blank
    if not any(sign in text for sign in "%!?;,/") or _is_python(text):
        return text
    lines = text.split("\n")
    state = _State()
    position = 0
    while position < len(lines):
        line = lines[position]
        if not state.is_open:
            command = _command(line)
            if command is not None:
                while lines[position].endswith("\\") and position + 1 < len(lines):
                    lines[position] = command
                    command = ""
                    position += 1
                lines[position] = command
                position += 1
                continue
        state.read(line)
        position += 1
    return "\n".join(lines)


def _command(line: str) -> str | None:
    """The replacement of a line that only IPython understands; None for Python."""
    if _MAGIC.match(line) or _HELP.match(line):
        indent = _INDENT.match(line)
        return f"{indent[0] if indent else ''}pass"
    assigned = _ASSIGNED.match(line)
    return f"{assigned[1]}get_ipython()" if assigned else None


def _is_python(text: str) -> bool:
    try:
        parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_SIGN: Final = re.compile(r"""#|\"\"\"|'''|["'()\[\]{}]|\\$""")


class _State:
    """Whether a statement continues in the next line: in brackets, in a string, or after a backslash."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0
        self._is_continued = False

    @property
    def is_open(self) -> bool:
        """True inside a statement."""
        return bool(self._quote) or self._depth > 0 or self._is_continued

    def read(self, line: str) -> None:
        """Read one line."""
        self._is_continued = False
        position = 0
        while position < len(line):
            sign = re.compile(rf"\\.|\\$|{self._quote}") if self._quote else _SIGN
            match = sign.search(line, position)
            if match is None or match[0] == "#":
                break
            position = match.end()
            self._take(match[0])
        if len(self._quote) == 1 and not self._is_continued:
            self._quote = ""  # a string with single quotes ends with the line in any case

    def _take(self, sign: str) -> None:
        if sign == "\\":
            self._is_continued = True
        elif self._quote:
            self._quote = "" if sign == self._quote else self._quote
        elif sign[0] in "\"'":
            self._quote = sign
        elif sign in "([{":
            self._depth += 1
        else:
            self._depth = max(self._depth - 1, 0)
