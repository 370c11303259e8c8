"""List the annotations of steps that can't be resolved from text, for `--strict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from baton_dsl.core.rules.rule import once
from baton_dsl.core.spec import MISSING, UNKNOWN, Place, Role, StepSpec
from baton_dsl.core.terms import Instance, TupleOf, UnionOf


class Unresolved(NamedTuple):
    """An annotation, or a part of one, whose type is unknown."""

    path: str
    line: int
    column: int
    sentence: str


def unresolved(steps: Iterable[StepSpec], reasons: Mapping[Place, str]) -> list[Unresolved]:
    """Each annotation that rules about types skip, once and in the order of the source.

    Args:
        steps: All steps, in flows or not.
        reasons: The reasons, where they are known, by the place of the annotation.
    """
    found: dict[Unresolved, None] = {}
    holds_unknown = once(_holds_unknown)
    for step in steps:
        for place, term, what in _annotations(step):
            if holds_unknown(term):
                reason = f" ({reasons[place]})" if place in reasons else ""
                sentence = f"{what} can't be resolved{reason}, so nothing that depends on its type is checked"
                found[Unresolved(place.path, place.line, place.column, sentence)] = None
    return sorted(found)


def _annotations(step: StepSpec) -> Iterator[tuple[Place, object, str]]:
    for parameter in step.parameters:
        if parameter.role is not Role.INJECTED and parameter.type is not MISSING and parameter.place is not None:
            yield parameter.place, parameter.type, f'the annotation of "{parameter.name}" in step "{step.name}"'
    if step.return_place is not None:
        yield step.return_place, step.result, f'the return annotation of step "{step.name}"'


def _holds_unknown(type: object) -> bool:
    match type:
        case Instance(_, items) | UnionOf(items) | TupleOf(items):
            return any(map(_holds_unknown, items))
        case _:
            return type is UNKNOWN
