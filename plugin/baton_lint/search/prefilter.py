"""Decide from the bytes of a file whether it may use baton."""

from __future__ import annotations

import os
from itertools import repeat

from baton_lint.search.folders import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from baton_lint.search.folders import Stamp

type Needle = tuple[tuple[bytes, ...], ...]
"""Groups of alternatives: a file may matter if it contains one of each group. A needle with three groups is for a
module that re-exports our names: the last group matches import statements of it."""

WORD: Needle = ((b"baton_dsl",),)
"""The word in every file that imports us directly."""

LARGEST = 1 << 27
"""The most bytes of a file. No real module comes near."""

_BUFFER = 1 << 20
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)  # Windows would translate line ends
    | getattr(os, "O_NONBLOCK", 0)  # don't wait for a pipe that has replaced a file
)


def _read_into(descriptor: int, buffers: list[bytearray]) -> int:
    """Like `os.readv` with one buffer, for Windows, which lacks it."""
    data = os.read(descriptor, _BUFFER)
    buffers[0][: len(data)] = data
    return len(data)


_fill: Callable[[int, list[bytearray]], int] = getattr(os, "readv", _read_into)


_STATEMENT = (
    # up to the end of the line, or of the next one after a backslash; parentheses may span several lines
    rb"\b(?:from|import)\b(?:[^\n(#;]|\\\r?\n)*(?:\((?:[^)#]|#[^\n]*)*)?\b%s\b"
)
_RELATIVE = rb"|\bfrom\s*\.+\s*import\b"


def importing(leaf: str, names: Iterable[str], *, is_package: bool) -> Needle:
    """The needle of a module that re-exports our names.

    Args:
        leaf: The last part of its name.
        names: The re-exported names.
        is_package: Whether its own modules may import from it without a name (`from . import`).
    """
    import re  # only if a file matters

    word = os.fsencode(leaf)
    statement = _STATEMENT % re.escape(word) + (_RELATIVE if is_package else b"")
    spelled = (word, b"from .") if is_package else (word,)
    return spelled, tuple(sorted(name.encode() for name in names)), (statement,)


def matches(data: bytes | bytearray, needles: Iterable[Needle]) -> bool:
    """Whether a file may use baton."""
    return any(map(_holds, needles, repeat(data)))


def _holds(needle: Needle, data: bytes | bytearray) -> bool:
    if not all(any(part in data for part in group) for group in needle[:2]):
        return False
    if len(needle) < 3:
        return True
    import re  # only if a file matters

    return re.search(needle[2][0], data) is not None


def scan(
    paths: Iterable[str],
    needles: tuple[Needle, ...],
    found: Callable[[str, bytes], None],
    stamps: dict[str, Stamp] | None = None,
) -> list[tuple[str, str]]:
    """Read files, and pass on those that match.

    One buffer is reused: new bytes for each of ten thousand files would cost more than reading them.

    Args:
        paths: The files.
        needles: The needles.
        found: Called with the path and the content of each file that matches.
        stamps: Filled with the stamp of each file that could be opened.

    Returns:
        The paths that can't be read, each with the reason, without files that no longer exist.
    """
    unreadable: list[tuple[str, str]] = []
    buffer = bytearray(_BUFFER)
    into = [buffer]
    word = needles[0][0][0] if needles == (WORD,) else None
    for path in paths:
        try:
            descriptor = os.open(path, _FLAGS)
            try:
                if stamps is not None:
                    stamps[path] = stamp(os.fstat(descriptor))
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
