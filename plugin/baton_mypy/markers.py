"""Read the markers of a parameter's type: `Input[T]` and `Each[T]` are PEP 695 aliases, which mypy keeps."""

from __future__ import annotations

from typing import Final, NamedTuple

from mypy.types import Instance, Parameters, Type, TypeAliasType, get_proper_type

from baton_mypy import names

_DEEPEST: Final = 16
"""The most nested aliases that are followed; a recursive alias has no end."""


class Marked(NamedTuple):
    """A parameter's type without its markers.

    Attributes:
        type: The rest.
        is_input: True for `Input[T]`.
        each: How many `Each` are around it.
    """

    type: Type
    is_input: bool = False
    each: int = 0


def marked(type: Type) -> Marked:
    """The markers of a parameter's type, found by unrolling aliases one at a time."""
    rest = found = Marked(type)
    for _ in range(_DEEPEST):
        inner = rest.type
        if not isinstance(inner, TypeAliasType) or inner.alias is None:
            break
        match inner.alias.fullname:
            case names.INPUT if inner.args:
                rest = found = Marked(inner.args[0], is_input=True, each=rest.each)
            case names.EACH if inner.args:
                rest = found = Marked(inner.args[0], is_input=rest.is_input, each=rest.each + 1)
            case _:
                # get_proper_type() would unroll our markers too
                rest = Marked(inner._expand_once(), is_input=rest.is_input, each=rest.each)  # noqa: SLF001
    return found


def levels_of(step: Instance) -> int:
    """How many lists wrap the results of a step of this type for downstream steps: 0 if it is not mapped."""
    signature = get_proper_type(step.args[0])
    if not isinstance(signature, Parameters):
        return 0
    return max((marked(annotation).each for annotation in signature.arg_types), default=0)
