"""Decide from the bytes of a file whether it may use baton."""

from __future__ import annotations

import os
from itertools import repeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Needle = tuple[tuple[bytes, ...], ...]
"""Groups of alternatives: a file may matter if it holds one of each group. One of three is of a module that hands our
names on: the last group is what its import statements look like."""

WORD: Needle = ((b"baton_dsl",),)
"""Every file that imports us says so."""

LARGEST = 1 << 27
"""Bytes of one file. No module that anybody has to read comes near."""

_BUFFER = 1 << 20
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)  # Windows would translate line ends
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that took the place of a file is not waited for
)


def _read_into(descriptor: int, buffers: list[bytearray]) -> int:
    """As `os.readv` with one buffer, for Windows, which does not have it."""
    data = os.read(descriptor, _BUFFER)
    buffers[0][: len(data)] = data
    return len(data)


_fill: Callable[[int, list[bytearray]], int] = getattr(os, "readv", _read_into)


_STATEMENT = (
    # up to the end of a line, or of the next if a backslash says so; what stands in parentheses may be longer
    rb"\b(?:from|import)\b(?:[^\n(#;]|\\\r?\n)*(?:\((?:[^)#]|#[^\n]*)*)?\b%s\b"
)
_RELATIVE = rb"|\bfrom\s*\.+\s*import\b"


def importing(leaf: str, names: Iterable[str], *, is_package: bool) -> Needle:
    """The needle of a module that hands our names on.

    Args:
        leaf: The last part of its name.
        names: What it hands on.
        is_package: Whether its own modules may import from it without a name.
    """
    import re  # only if a file matters

    word = os.fsencode(leaf)
    statement = _STATEMENT % re.escape(word) + (_RELATIVE if is_package else b"")
    spelled = (word, b"from .") if is_package else (word,)
    return spelled, tuple(sorted(name.encode() for name in names)), (statement,)


def matches(data: bytes | bytearray, needles: Iterable[Needle]) -> bool:
    """Whether a file may have to do with baton."""
    return any(map(_holds, needles, repeat(data)))


def _holds(needle: Needle, data: bytes | bytearray) -> bool:
    if not all(any(part in data for part in group) for group in needle[:2]):
        return False
    if len(needle) < 3:
        return True
    import re  # only if a file matters

    return re.search(needle[2][0], data) is not None


def scan(
    paths: Iterable[str], needles: tuple[Needle, ...], found: Callable[[str, bytes], None]
) -> list[tuple[str, str]]:
    """Read files and hand on those that match.

    One buffer is read into again and again: making new bytes of each of ten thousand files costs more than reading.

    Args:
        paths: The files.
        needles: What to look for.
        found: Called with the path and the content of each file that matches.

    Returns:
        The paths that can't be read, each with the reason; a file that has vanished is none.
    """
    unreadable: list[tuple[str, str]] = []
    buffer = bytearray(_BUFFER)
    into = [buffer]
    word = needles[0][0][0] if needles == (WORD,) else None
    for path in paths:
        try:
            descriptor = os.open(path, _FLAGS)
            try:
                size = _fill(descriptor, into)
                if size == _BUFFER:
                    data = bytes(buffer) + _rest(descriptor)
                    if matches(data, needles):
                        found(path, data)
                    continue
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.append((path, error.strerror or str(error)))
            continue
        except OverflowError as error:
            unreadable.append((path, str(error)))
            continue
        if word is not None:
            if buffer.find(word, 0, size) >= 0:
                found(path, bytes(buffer[:size]))
        elif matches(buffer[:size], needles):
            found(path, bytes(buffer[:size]))
    return unreadable


def _rest(descriptor: int) -> bytes:
    parts: list[bytes] = []
    rest = LARGEST
    while part := os.read(descriptor, _BUFFER):
        rest -= len(part)
        if rest < 0:
            raise OverflowError(f"it has more than {LARGEST:,} bytes")
        parts.append(part)
    return b"".join(parts)
