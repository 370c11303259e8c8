"""How maps change types: a step downstream of a map takes a list, a step that maps takes an item.

A step of several models is a map over the names of its models: downstream steps take a dict of results by model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from baton_dsl.core.items import item_of
from baton_dsl.core.spec import MISSING, UNKNOWN, ParameterSpec, StepSpec, Types


class Form(Enum):
    """What a parameter gets for an item without a result."""

    PLAIN = "plain"
    """`list[R]`, or `dict[str, R]` by model: the item is left out."""
    OPTIONAL = "optional"
    """`list[R | None]`: None."""
    OUTCOME = "outcome"
    """`list[Outcome[R]]`: how it ended."""


class Edge(NamedTuple):  # there are many, and a tuple is created three times as fast as a frozen dataclass
    """How many lists lie between a result and the parameter that takes it.

    Attributes:
        lists: How many of the upstream's own levels the parameter takes as lists.
        peeled: How many levels of collection are taken off the result, because the upstream is not mapped that deep.
        is_by_model: True if the parameter takes a dict of results by model instead of one of the lists.
    """

    lists: int
    peeled: int
    is_by_model: bool = False

    @staticmethod
    def of(parameter: ParameterSpec, upstream: StepSpec) -> Edge:
        """The edge between a parameter and its upstream."""
        if upstream.is_per_model and not parameter.each:
            return Edge(1, 0, is_by_model=True)
        left = upstream.levels - parameter.each
        return Edge(max(left, 0), max(-left, 0))

    @property
    def whole(self) -> str:
        """The collection in which the parameter takes the results of all items: `list` or `dict`."""
        return "dict" if self.is_by_model else "list"

    def around(self, types: Types, item: object) -> object:
        """The type of the results of all items, made from the type of one."""
        return types.dict_of(item) if self.is_by_model else listed(types, item, self.lists)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A level of `Each` at which there is no collection.

    Attributes:
        type: The type at that level.
        level: The level of the result, from 0.
    """

    type: object
    level: int


def listed(types: Types, item: object, levels: int) -> object:
    """A type wrapped in a number of lists."""
    for _ in range(levels):
        item = types.list_of(item)
    return item


def given(types: Types, parameter: ParameterSpec) -> object:
    """What `insert` and `bind` take for an input: a list for each level of `Each[Input[T]]`."""
    if not parameter.each or parameter.type in (MISSING, UNKNOWN):
        return parameter.type
    return listed(types, parameter.type, parameter.each)


def result(types: Types, step: StepSpec) -> object:
    """The results of a step as downstream steps see them: a `list[...]` for each mapped level, or a dict by model."""
    if step.result in (MISSING, UNKNOWN):
        return step.result
    if step.is_per_model is not False:
        return types.dict_of(step.result) if step.is_per_model else UNKNOWN
    return listed(types, step.result, step.levels)


def unlisted(step: str, levels: int, index: Sequence[int] | None, asked: int) -> tuple[str, str] | None:
    """Why the results of a step are not lists of the requested depth, and what to request instead.

    Args:
        step: The step's name in the flow.
        levels: How many levels it is mapped over.
        index: The requested item: a number for each level, where the innermost may be left out.
        asked: How many levels of lists are requested.

    Returns:
        The message and the remedy; None if the results are such lists.
    """
    named = tuple(index or ())
    left = levels - len(named)
    if left == asked > 0:
        return None
    item = f", {named[0] if len(named) == 1 else named}" if named else ""
    if not levels:
        return f'step "{step}" is not mapped, so it has one result and no list of them', f"ask for result({step})"
    if left <= 0:
        return f'"{item_of(step, named)}" is an item of a map: one result and no list', f"ask for result({step}{item})"
    whose = f'item "{item_of(step, named)}"' if named else f'step "{step}"'
    deep = f"{left} level{'s' if left != 1 else ''} deep"
    return (
        f"{whose} is mapped {deep}, but lists of {asked} level{'s' if asked != 1 else ''} are asked for",
        f"say results_of({step}{item}" + (f", levels={left})" if left != 1 else ")"),
    )


def offer(types: Types, parameter: ParameterSpec, upstream: StepSpec, form: Form = Form.PLAIN) -> object | Stuck:
    """The type of what an upstream passes to a parameter.

    Args:
        types: What is known of the types.
        parameter: The parameter.
        upstream: Its upstream.
        form: What stands for an item without a result; matters only where the parameter takes a list.

    Returns:
        The type; `UNKNOWN` or `MISSING` if it can't be determined; or `Stuck` where `Each` finds no collection.
    """
    if upstream.is_per_model is None or (upstream.is_per_model and parameter.each):
        return UNKNOWN  # BTN312 reports the latter
    edge = Edge.of(parameter, upstream)
    seen = upstream.result
    for level in range(edge.peeled):
        if seen in (MISSING, UNKNOWN):
            return seen
        item = types.item_of(seen)
        if item is None:
            return Stuck(seen, level)
        seen = item
    if seen in (MISSING, UNKNOWN):
        return seen
    if edge.lists:
        match form:
            case Form.OPTIONAL:
                seen = types.optional(seen)
            case Form.OUTCOME:
                seen = types.outcome_of(seen)
            case Form.PLAIN:
                pass
    return edge.around(types, seen)


def forms(types: Types, parameter: ParameterSpec, upstream: StepSpec) -> tuple[Form, ...]:
    """The forms in which the parameter's type accepts the results of its upstream."""
    possible = tuple(Form) if Edge.of(parameter, upstream).lists else (Form.PLAIN,)
    return tuple(
        form
        for form in possible
        if types.assignable(offer(types, parameter, upstream, form), parameter.type) is not False
    )


def written(types: Types, parameter: ParameterSpec, type: object) -> str:
    """The annotation that users would write for a type, with the `Each` of the parameter."""
    return around(parameter, types.show(type))


def around(parameter: ParameterSpec, shown: str) -> str:
    """Wrap an annotation in the `Each` of the parameter."""
    return f"{'Each[' * parameter.each}{shown}{']' * parameter.each}"
