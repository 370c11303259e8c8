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
"""How many characters of a text an error quotes."""


def read(flow: AnyFlow, pairs: Iterable[str]) -> dict[str, Any]:
    """Parse the values of `--input`.

    If an input accepts `str`, its characters are used as they are. For any other type, the text is parsed as JSON or,
    if it is not JSON, by pydantic (`2026-11-22` for a date). `null` is None where None is allowed. Values that do not
    fit and names that are not inputs of the flow pass through: the insert reports them.

    Args:
        flow: The flow that the inputs are for.
        pairs: Texts of the form `name=value`.

    Raises:
        click.BadParameter: If a pair has no name, or a name is given twice.
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
    """Report all problems of the inputs, with help for the command line: the option, and what its text looks like.

    An insert first reports inputs that are missing, unknown or of a wrong type, and validates models only if there are
    none. Here every input's text is validated too, so that the user sees all problems at once.

    Args:
        error: The error that the insert raised.
        flow: The flow that the inputs are for.
        pairs: The texts that were passed to `read`.
    """
    expected = annotations_of(flow)
    texts = {name: text for name, _, text in (pair.partition("=") for pair in pairs) if name in expected}
    unreadable = [found for name, text in texts.items() if (found := _unreadable(name, text, expected[name]))]
    reported = {finding.parameter for finding in unreadable}
    return InputError(
        [
            *(found.in_flow(flow.name) for found in unreadable),
            *(
                replace(finding, help=_give(finding.parameter or "", expected))
                if finding.help == inputs.give(finding.parameter or "")
                else finding
                for finding in error.diagnostics
                if finding.parameter not in reported
            ),
        ]
    )


def _give(name: str, expected: Mapping[str, Any]) -> str:
    shape = shape_of(expected[name]) if name in expected else None
    return f"pass it: --input {name}=..." + (f" ({shape})" if shape else "")


def _unreadable(name: str, text: str, annotation: Any) -> Diagnostic | None:
    """Describe why the text of an input can't be read; None if it can."""
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
        f'input "{name}" must be {LIVE_TYPES.show(term)}, got {got}: {"; ".join(problems)}',
        help=f"write {shape}",
        parameter=name,
    )


def _is_raw(term: Any) -> bool:
    """True if an input accepts `str`, so that its characters are used as they are."""
    return term != ANY and LIVE_TYPES.assignable(TEXT, term) is True


def value_of(text: str, annotation: Any) -> Any:
    """Parse a text as a value of an annotation.

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
    except PydanticUserError:  # the type has no JSON form: the insert reports BTN203
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
    """A JSON number with a fraction or an exponent, kept as it was written."""


def _with_every_digit(adapter: TypeAdapter[Any], text: str, value: Any) -> Any:
    """Restore all digits of the Decimals in a value: pydantic reads a JSON number as a float first.

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
    """Replace each number that was read as a Decimal by its text, so that pydantic reads every digit."""
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
