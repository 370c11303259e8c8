"""How a parameter's type says what gives it its value: `Input[T]` and `Each[T]` are PEP 695 aliases that mypy keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mypy.types import Type, TypeAliasType

from baton_mypy import names

_DEEPEST: Final = 16
"""Aliases of aliases that are followed; a recursive alias ends here."""


class Marker(Enum):
    """What is written around a parameter's type."""

    NONE = "none"
    INPUT = "input"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class Marked:
    """A parameter's type without its marker."""

    type: Type
    marker: Marker


_ALIASES: Final = {names.INPUT: Marker.INPUT, names.EACH: Marker.EACH}


def marker_of(type: Type) -> Marked:
    """The marker of a parameter's type, found by unrolling aliases one at a time."""
    inner = type
    for _ in range(_DEEPEST):
        if not isinstance(inner, TypeAliasType) or inner.alias is None:
            break
        marker = _ALIASES.get(inner.alias.fullname)
        if marker is not None:
            return Marked(inner.args[0] if inner.args else inner, marker)
        inner = inner._expand_once()  # noqa: SLF001 - get_proper_type() would unroll our markers too
    return Marked(type, Marker.NONE)
