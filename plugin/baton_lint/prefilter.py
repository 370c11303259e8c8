"""Which files may have to do with baton, told from their bytes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

type Needle = tuple[tuple[bytes, ...], ...]
"""Groups of alternatives: a file may matter if it holds one of each group."""

WORD: Needle = ((b"baton_dsl",),)
"""Every file that imports us says so."""

_BUFFER = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def _read_into(descriptor: int, buffers: list[bytearray]) -> int:
    """As `os.readv` with one buffer, for Windows, which does not have it."""
    data = os.read(descriptor, _BUFFER)
    buffers[0][: len(data)] = data
    return len(data)


_fill: Callable[[int, list[bytearray]], int] = getattr(os, "readv", _read_into)


def matches(data: bytes | bytearray, needles: Iterable[Needle]) -> bool:
    """Whether a file may have to do with baton."""
    return any(all(any(part in data for part in group) for group in needle) for needle in needles)


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
        if word is not None:
            if buffer.find(word, 0, size) >= 0:
                found(path, bytes(buffer[:size]))
        elif matches(buffer[:size], needles):
            found(path, bytes(buffer[:size]))
    return unreadable


def _rest(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(descriptor, _BUFFER):
        parts.append(part)
    return b"".join(parts)
