"""Parse the inputs of a flow from text: `--input region=eu --input 'ids=[1, 2]'`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import click
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from baton_dsl.cli.input_shapes import problems_of, shape_of
from baton_dsl.cli.target import AnyFlow
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import inputs
from baton_dsl.core.types import ANY, Instance
from baton_dsl.errors import InputError
from baton_dsl.reflect import LIVE_TYPES, term_of
from baton_dsl.runtime.lowering.given import annotations_of

TEXT = Instance("builtins.str")
SHOWN: Final = 60
"""Characters of a text that an error repeats."""


def read(flow: AnyFlow, pairs: Iterable[str]) -> dict[str, Any]:
    """What was given with `--input`, as values to insert.

    An input that may be a text takes the characters as they are; of any other type it takes JSON, or else the
    characters, as pydantic reads them (`2026-11-22` for a date). `null` is None where None is allowed. What does not
    fit, and what is no input of the flow, is left to the insert, which knows the words for it.

    Args:
        flow: The flow that the inputs are for.
        pairs: As `name=value`.

    Raises:
        click.BadParameter: If a pair has no name, or one name is given twice.
    """
    expected = annotations_of(flow)
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"write NAME=VALUE, got {pair!r}", param_hint="--input")
        if name in given:
            raise click.BadParameter(f'"{name}" is given twice', param_hint="--input")
        given[name] = value_of(text, expected.get(name, Any))
    return given


def in_words_of_the_command_line(error: InputError, flow: AnyFlow, pairs: Iterable[str]) -> InputError:
    """All that is wrong with the inputs, with the help that is of use here: an option, and what its text looks like.

    An insert first says what is missing, unknown or of a wrong type, and validates models only when that is right. Here
    the text of each input is looked at, so that one need not try again for each.

    Args:
        error: What the insert has said.
        flow: The flow that the inputs are for.
        pairs: As they were given to `read`.
    """
    expected = annotations_of(flow)
    texts = {name: text for name, _, text in (pair.partition("=") for pair in pairs) if name in expected}
    unreadable = [found for name, text in texts.items() if (found := _unreadable(name, text, expected[name]))]
    told = {finding.parameter for finding in unreadable}
    return InputError(
        [
            *(found.in_flow(flow.name) for found in unreadable),
            *(
                replace(finding, help=_give(finding.parameter or "", expected))
                if finding.help == inputs.give(finding.parameter or "")
                else finding
                for finding in error.diagnostics
                if finding.parameter not in told
            ),
        ]
    )


def _give(name: str, expected: Mapping[str, Any]) -> str:
    shape = shape_of(expected[name]) if name in expected else None
    return f"give it: --input {name}=..." + (f" with {shape}" if shape else "")


def _unreadable(name: str, text: str, annotation: Any) -> Diagnostic | None:
    """What is wrong with the text of an input; None if it can be read."""
    term = term_of(annotation)
    if text == "null" and LIVE_TYPES.accepts_none(term) is True:
        return None
    problems = problems_of(annotation, text, is_raw=_is_raw(term))
    if not problems:
        return None
    got = f'the text "{text if len(text) <= SHOWN else f"{text[:SHOWN]}..."}"'
    if text.lstrip().startswith(("[", "{")):
        got = "a text that does not fit"  # a field of it may be a secret
    shape = shape_of(annotation) or f"a value of type {LIVE_TYPES.show(term)}"
    return inputs.finding(
        f'input "{name}" is {LIVE_TYPES.show(term)}, got {got}: {"; ".join(problems)}',
        help=f"write {shape}",
        parameter=name,
    )


def _is_raw(term: Any) -> bool:
    """True if an input takes the characters as they are, since it may be a text."""
    return term != ANY and LIVE_TYPES.assignable(TEXT, term) is True


def value_of(text: str, annotation: Any) -> Any:
    """A value for an annotation from its text.

    Examples:
        >>> [value_of("12", kind) for kind in (str, int, list[int], str | None)]
        ['12', 12, 12, '12']
    """
    expected = term_of(annotation)
    if text == "null" and LIVE_TYPES.accepts_none(expected) is True:
        return None
    if _is_raw(expected):
        return text
    try:
        adapter = TypeAdapter[Any](annotation)
    except PydanticUserError:  # no JSON can carry it: BTN203, at the insert
        return _plain(text)
    try:
        return _with_every_digit(adapter, text, adapter.validate_json(text))
    except ValidationError:
        pass
    try:
        return adapter.validate_python(text)
    except ValidationError:
        return _plain(text)


class _Number(str):
    """A number of JSON with a fraction or an exponent, as it was written."""


def _with_every_digit(adapter: TypeAdapter[Any], text: str, value: Any) -> Any:
    """A value that was read from JSON, with all digits of its Decimals: pydantic reads a JSON number as a float first.

    Examples:
        >>> value_of("1.10", Decimal), value_of('{"a": [0.10, 1]}', dict[str, list[Decimal]])
        (Decimal('1.10'), {'a': [Decimal('0.10'), Decimal('1')]})
    """
    try:
        written = json.loads(text, parse_float=_Number)
        return adapter.validate_json(json.dumps(_exact(written, adapter.dump_python(value))))
    except (ValueError, TypeError, RecursionError):
        return value


def _exact(written: Any, read: Any) -> Any:
    """JSON in which the numbers that were read as Decimals are texts, so that they are read digit by digit."""
    match written:
        case _Number():
            return str(written) if isinstance(read, Decimal) else float(written)
        case dict():
            return {
                name: _exact(value, read.get(name) if isinstance(read, dict) else None)
                for name, value in written.items()
            }
        case list() if isinstance(read, list | tuple) and len(read) == len(written):
            return [_exact(value, other) for value, other in zip(written, read, strict=True)]
        case list():
            return [_exact(value, None) for value in written]
        case _:
            return written


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
