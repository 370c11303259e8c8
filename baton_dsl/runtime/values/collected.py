"""Collect the results of a map's items into the list, or the dict by model, that an annotation needs."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final

from baton_dsl.annotations import LIVE_TYPES, term_of, unaliased
from baton_dsl.core.wording import without_traceback
from baton_dsl.outcome import Outcome

_NOTHING: Final = object()


def list_of(annotation: Any, levels: int) -> Any:
    """Wrap an annotation in a number of lists."""
    for _ in range(levels):
        annotation = list[annotation]
    return annotation


def whole_of(annotation: Any, text: str | None, levels: int) -> Any:
    """The annotation of all results of a map: of a dict if they are by model, otherwise of lists.

    Args:
        annotation: The return annotation of the step.
        text: The results as JSON; None if the map did not expand.
        levels: The number of nested lists, if they are not by model.
    """
    return dict[str, annotation] if _is_by_model(text) else list_of(annotation, levels)


def _is_by_model(text: str | None) -> bool:
    return text is not None and text.startswith("{")


def collected(annotation: Any, text: str | None, absent: str | None) -> str | None:
    """The JSON of a map's results, made to fit an annotation.

    An item without a result, because it failed or was skipped, is null if the annotation of the items accepts None, and
    left out if it does not. If the annotation is `Outcome`, each item says how it ended.

    Args:
        annotation: The annotation of the parameter or the caller: `list[R]`, `list[R | None]`, `list[Outcome[R]]`,
            with as many levels of lists as the map has; for results by model the same with `dict[str, ...]`.
        text: The results as JSON, with null for absent ones; None if the map did not expand.
        absent: The absent ones as JSON: `[{"path": [3], "state": "discarded", "reason": "..."}]`; None if there are
            none. The path of a result by model is the model.

    Returns:
        The JSON to validate. For a map that did not expand, it is None, or empty where None is not accepted.

    Examples:
        >>> collected(list[int], "[1, null, 3]", '[{"path": [1], "state": "skipped", "reason": ""}]')
        '[1, 3]'
        >>> collected(list[int | None], "[1, null, 3]", '[{"path": [1], "state": "skipped", "reason": ""}]')
        '[1, null, 3]'
    """
    if text is None:
        return None if _accepts_none(annotation) else "{}" if _values_of(annotation) is not None else "[]"
    value_of_dict = _values_of(annotation) if _is_by_model(text) else None
    levels = list(_levels(annotation)) if value_of_dict is None else [annotation, *_levels(value_of_dict)]
    wants_outcomes = _is_outcome(levels[-1])
    if absent is None and not wants_outcomes:
        return text
    missing = {tuple(entry["path"]): entry for entry in json.loads(absent or "[]")}
    above = {path[:depth] for path in missing for depth in range(len(path))}
    leaves = len(levels) - 1 if wants_outcomes else None
    return json.dumps(_fit(json.loads(text), (), missing, above, levels, leaves))


def _fit(
    value: Any,
    path: tuple[int | str, ...],
    missing: dict[tuple[int | str, ...], Any],
    above: set[tuple[int | str, ...]],
    levels: list[Any],
    leaves: int | None,
) -> Any:
    """One value of the tree of results; `_NOTHING` if it is left out.

    `above` has the paths of the lists, or of the dict, in which something is missing; `leaves` is the depth of the
    outcomes, if any.
    """
    depth = len(path)
    entry = missing.get(path)
    if leaves is not None and depth == leaves:
        if entry is None:
            return {"state": "completed", "value": value}
        reason = entry["reason"]
        return {"state": entry["state"] or "cancelled", "reason": reason and without_traceback(reason)}
    if entry is not None:
        return None if depth >= len(levels) or _accepts_none(levels[depth]) else _NOTHING
    if isinstance(value, list) and (path in above or leaves is not None):
        fitted = (_fit(item, (*path, index), missing, above, levels, leaves) for index, item in enumerate(value))
        return [item for item in fitted if item is not _NOTHING]
    if isinstance(value, dict) and not path:  # results by model; deeper dicts belong to what a step returned
        by_model = {key: _fit(item, (key,), missing, above, levels, leaves) for key, item in value.items()}
        return {key: item for key, item in by_model.items() if item is not _NOTHING}
    return value


def _levels(annotation: Any) -> Iterable[Any]:
    """An annotation, then that of its items, then that of their items, and so on."""
    while True:
        yield annotation
        plain = _plain(annotation)
        arguments = typing.get_args(plain)
        origin = typing.get_origin(plain)
        if not isinstance(origin, type) or origin is Outcome or not issubclass(origin, Iterable):
            return
        if len(arguments) != 1 and not (origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis):
            return
        annotation = arguments[0]


def _values_of(annotation: Any) -> Any:
    """The annotation of the values of a dict by model; None if it is not the annotation of a mapping."""
    plain = _plain(annotation)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2
    return arguments[1] if is_mapping else None


def _plain(annotation: Any) -> Any:
    """Remove `Annotated`, aliases and `| None` around an annotation."""
    while True:
        inner = annotation.__origin__ if hasattr(annotation, "__metadata__") else unaliased(annotation)
        members = [item for item in typing.get_args(inner) if item is not type(None)]
        if len(members) == 1 and len(typing.get_args(inner)) == 2 and _accepts_none(inner):
            inner = members[0]
        if inner is annotation:
            return annotation
        annotation = inner


def _is_outcome(annotation: Any) -> bool:
    plain = _plain(annotation)
    return plain is Outcome or typing.get_origin(plain) is Outcome


def _accepts_none(annotation: Any) -> bool:
    return LIVE_TYPES.accepts_none(term_of(annotation)) is not False
