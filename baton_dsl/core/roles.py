"""Decide what gives a parameter its value, and whether a worker can import a function: for all front ends alike."""

from __future__ import annotations

from typing import Final

from baton_dsl.core.spec import MISSING, UNKNOWN, Access, Form, ParameterSpec, Place, Role

_STARS: Final = (Form.STAR_ARGS, Form.STAR_KWARGS)


def parameter(
    name: str,
    annotated: object,
    *,
    form: Form = Form.KEYWORD,
    is_from: bool = False,
    source: str | None = None,
    is_input: bool = False,
    is_context: bool = False,
    access: Access | None = None,
    may_hide_a_marker: bool = False,
    each: int = 0,
    has_default: bool = False,
    is_read: bool | None = None,
    unevaluable: str | None = None,
    place: Place | None = None,
) -> ParameterSpec:
    """A parameter with its role, of what a front end has read of it.

    Args:
        name: Its name.
        annotated: The type of its annotation, without markers; `MISSING` if there is none.
        form: How it may be passed.
        is_from: Whether `From` marks it, in the annotation or as the default.
        source: What `From` was given, as the name of a step; None if that can't be determined.
        is_input: Whether `Input` marks it.
        is_context: Whether its type is `StepContext`.
        access: How it works with the database, if its type is a connection or a session.
        may_hide_a_marker: Whether the annotation names something that can't be seen, and that may be a marker, a
            connection or a session.
        each: How often `Each` stands around its type.
        has_default: Whether it has a default besides `From`.
        is_read: Whether the function's body reads it.
        unevaluable: Why its annotation can't be evaluated.
        place: Where it stands.

    Examples:
        >>> parameter("orders", "list[str]").source, parameter("orders", "list[str]", is_input=True).role
        ('orders', <Role.INPUT: 'input'>)
    """
    if form in _STARS:
        role, source, each = Role.UNKNOWN, None, 0
    elif is_from:
        role = Role.UPSTREAM
    elif is_input:
        role, source = Role.INPUT, None
    elif is_context or access is not None:
        role, source, each = Role.INJECTED, None, 0
    elif may_hide_a_marker:
        role, source = Role.UNKNOWN, None
    else:
        role, source = Role.UPSTREAM, name
    is_typed = role in (Role.UPSTREAM, Role.INPUT) or annotated is MISSING
    return ParameterSpec(
        name=name,
        role=role,
        type=annotated if is_typed else UNKNOWN,
        source=source,
        each=each,
        access=access if role is Role.INJECTED else None,
        has_default=has_default,
        is_read=is_read,
        form=form,
        unevaluable=unevaluable,
        place=place,
    )


LAMBDA: Final = "a lambda"
NESTED: Final = "a function inside a function"
METHOD: Final = "a method"
"""What a worker can't import by name, as `StepSpec.unimportable` has it."""


def unimportable(qualified_name: str, first: str | None) -> str | None:
    """Why a worker can't import a function by its name; None if it can.

    Args:
        qualified_name: Its name as Python has it, such as `Billing.charge` or `make.<locals>.charge`.
        first: The name of its first parameter.

    Examples:
        >>> unimportable("charge", "amount"), unimportable("Billing.charge", "amount")
        (None, None)
        >>> unimportable("Billing.charge", "self"), unimportable("make.<locals>.charge", "amount")
        ('a method', 'a function inside a function')
    """
    if qualified_name.endswith("<lambda>"):
        return LAMBDA
    if "<locals>" in qualified_name:
        return NESTED
    return METHOD if is_method(qualified_name, first) else None


def is_method(qualified_name: str, first: str | None) -> bool:
    """Whether a function is a method: its first parameter is the object, which nothing gives it and which is no edge.

    Args:
        qualified_name: Its name as Python has it.
        first: The name of its first parameter.
    """
    owner = qualified_name.rpartition(".")[0]
    return first in ("self", "cls") and bool(owner) and not owner.endswith("<locals>")
