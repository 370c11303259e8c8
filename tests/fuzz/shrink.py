"""A smaller mutant that fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.fuzz.attempt import attempt
from tests.fuzz.mutate import Mutant

SECONDS = 60
"""Spent on one mutant at most."""


def shrunk(mutant: Mutant, signature: str, folder: Path) -> Mutant:
    """The smallest mutant with the same signature that is found soon."""
    deadline = time.monotonic() + SECONDS

    def still_fails(candidate: Mutant) -> bool:
        failure = attempt(candidate, folder)
        return failure is not None and failure.signature == signature

    for name in list(mutant.files):
        without = replace(mutant, files={key: value for key, value in mutant.files.items() if key != name})
        if mutant.files and still_fails(without):
            mutant = without
    words = _smaller(mutant.arguments, lambda rest: still_fails(replace(mutant, arguments=tuple(rest))), deadline)
    mutant = replace(mutant, arguments=tuple(words))
    for name in list(mutant.files):
        for split in (_lines, _characters):
            parts = split(mutant.files[name])
            kept = _smaller(parts, lambda rest, name=name: still_fails(_with(mutant, name, rest)), deadline)  # noqa: B023
            mutant = _with(mutant, name, kept)
    return mutant


def _with(mutant: Mutant, name: str, parts: Sequence[bytes]) -> Mutant:
    data = b"".join(parts)
    stdin = data if mutant.stdin and mutant.stdin == mutant.files[name] else mutant.stdin
    return replace(mutant, files={**mutant.files, name: data}, stdin=stdin)


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _characters(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def _smaller[T](parts: Sequence[T], still_fails: Callable[[Sequence[T]], bool], deadline: float) -> Sequence[T]:
    """Delta debugging: leave out halves, then quarters, and so on."""
    size = len(parts) // 2
    while size >= 1:
        left_out = False
        for start in _starts(len(parts), size):
            if time.monotonic() > deadline:
                return parts
            rest = [*parts[:start], *parts[start + size :]]
            if still_fails(rest):
                parts, left_out = rest, True
                break
        if not left_out:
            size //= 2
    return parts


def _starts(length: int, size: int) -> Iterator[int]:
    return iter(range(0, length, size))
