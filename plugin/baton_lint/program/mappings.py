"""Find the mappings of inputs that are written out in a call of `insert_many`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from baton_lint.source.expressions import Expression, Span


class Mapping(NamedTuple):
    """One mapping: its place; the name, place and value of each input; and whether these are all."""

    span: Span
    words: tuple[tuple[str, Span, Expression], ...]
    is_whole: bool


def mappings_in(workflows: Expression) -> Iterator[Mapping]:
    """The mappings in a list or a tuple, each alone or in a pair with options."""
    for entry in workflows[2] if workflows[0] in ("list", "tuple") else ():
        given = entry[2][0] if entry[0] == "tuple" and len(entry[2]) == 2 else entry
        if given[0] == "dict":
            _, span, items, is_whole = given
            words = tuple(
                (key[2], key[1], value) for key, value in items if key[0] == "const" and isinstance(key[2], str)
            )
            yield Mapping(span, words, is_whole and len(words) == len(items))
