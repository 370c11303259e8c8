"""Remove our markers from annotations."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union

from baton_dsl.annotations import unaliased
from baton_dsl.context import Skip
from baton_dsl.step import EachMarker, FromMarker, InputMarker


@dataclass(frozen=True, slots=True)
class Peeled:
    """An annotation without markers.

    Attributes:
        annotation: The rest, as pydantic takes it.
        marker: The marker of `Input` or `From`, or None.
        each: How many `Each` are around it.
    """

    annotation: Any
    marker: InputMarker | FromMarker | None
    each: int


_MARKERS: Final = (InputMarker, FromMarker, EachMarker)


def peel(annotation: Any, *, as_far_as_can_be: bool = False) -> Peeled:
    """Remove the markers around an annotation, through nested aliases.

    Args:
        annotation: The annotation.
        as_far_as_can_be: Stop at an alias whose value can't be evaluated, instead of raising its exception.
    """
    marker: InputMarker | FromMarker | None = None
    each = 0
    extras: tuple[Any, ...] = ()
    while True:
        try:
            alias = unaliased(annotation)
            is_opaque = alias is not annotation and not _is_marked(alias)
        except Exception:
            if not as_far_as_can_be:
                raise
            break
        if is_opaque:
            break  # a user's own alias, which pydantic keeps by its name
        if alias is not annotation:
            annotation = alias
            continue
        metadata = getattr(annotation, "__metadata__", None)
        if metadata is None:
            break
        marks = [item for item in metadata if isinstance(item, InputMarker | FromMarker)]
        extras = (*(item for item in metadata if not isinstance(item, _MARKERS)), *extras)
        marker = marks[0] if marks else marker
        each += sum(isinstance(item, EachMarker) for item in metadata)
        annotation = annotation.__origin__
    if extras:
        annotation = Annotated[annotation, *extras]
    return Peeled(annotation, marker, each)


def _is_marked(annotation: Any) -> bool:
    for _ in range(16):
        if any(isinstance(item, _MARKERS) for item in getattr(annotation, "__metadata__", ())):
            return True
        inner = unaliased(annotation)
        if inner is annotation:
            inner = getattr(annotation, "__origin__", None) if hasattr(annotation, "__metadata__") else annotation
        if inner is annotation:
            return False
        annotation = inner
    return False


def without_skip(returns: Any, depth: int = 0) -> tuple[Any, bool]:
    """A return annotation without `Skip` (None if nothing else is left), and whether it had `Skip`."""
    if returns is Skip:
        return type(None), True
    if depth > 16:  # an alias that refers to itself
        return returns, False
    alias = unaliased(returns)
    if alias is not returns:
        rest, may_skip = without_skip(alias, depth + 1)
        return (rest if may_skip else returns), may_skip
    if hasattr(returns, "__metadata__"):
        rest, may_skip = without_skip(returns.__origin__, depth + 1)
        return (Annotated[rest, *returns.__metadata__] if may_skip else returns), may_skip
    if typing.get_origin(returns) in (Union, UnionType):
        items = typing.get_args(returns)
        parts = [without_skip(item, depth + 1) for item in items]
        if any(may_skip for _, may_skip in parts):
            rest = tuple(part for item, (part, _) in zip(items, parts, strict=True) if item is not Skip)
            return Union[rest], True  # noqa: UP007 - the types are known only at run time
    return returns, False
