"""The inputs of a flow as text: `--input region=eu --input 'ids=[1, 2]'`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from baton_dsl.cli.target import AnyFlow
from baton_dsl.core.types import ANY, Instance
from baton_dsl.reflect import LIVE_TYPES

TEXT = Instance("builtins.str")


def read(flow: AnyFlow, pairs: Iterable[str]) -> dict[str, Any]:
    """What was given with `--input`, as values to insert.

    An input that may be a text takes the characters as they are; of any other type it takes JSON, or else the
    characters, which pydantic then reads (`2026-11-22` for a date). `null` is None where None is allowed. Whether a
    value fits, and whether there is such an input, is the insert's to say.

    Args:
        flow: The flow that the inputs are for.
        pairs: As `name=value`.

    Raises:
        click.BadParameter: If a pair has no name, or one name is given twice.
    """
    takers = flow.spec().inputs()
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"write NAME=VALUE, got {pair!r}", param_hint="--input")
        if name in given:
            raise click.BadParameter(f'"{name}" is given twice', param_hint="--input")
        expected = takers[name][0][1].type if name in takers else ANY
        given[name] = value_of(text, expected)
    return given


def value_of(text: str, expected: object) -> Any:
    """A value of a type from its text.

    Example:
        >>> from baton_dsl.reflect import term_of
        >>> [value_of("12", term_of(kind)) for kind in (str, int, list[int], str | None)]
        ['12', 12, 12, '12']
    """
    if text == "null" and LIVE_TYPES.accepts_none(expected) is True:
        return None
    if expected != ANY and LIVE_TYPES.assignable(TEXT, expected) is True:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
