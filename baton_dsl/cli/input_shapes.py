"""Describe what the text after `--input` must look like, and what is wrong with one that does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter, ValidationError

MOST: Final = 12
"""How many members, fields or problems are named."""
DEEPEST: Final = 3
"""How many levels of nested fields are described."""

_FORMATS: Final = {
    "date": "an ISO date, as 2026-11-22",
    "date-time": "an ISO date and time, as 2026-11-22T12:30:00Z",
    "time": "an ISO time, as 12:30:00",
    "duration": "an ISO duration, as PT1H30M",
    "uuid": "a UUID, as 0198c0de-0000-7000-8000-000000000000",
    "uri": "a URL, as https://example.org/",
    "email": "an email address",
}
_TYPES: Final = {
    "integer": "a whole number, as 12",
    "number": "a number, as 1.5",
    "boolean": "true or false",
    "null": "null",
    "string": "a text",
    "array": "a JSON list",
    "object": "a JSON object",
}
_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matching {}",
}


def shape_of(annotation: Any) -> str | None:
    """Describe texts that an annotation accepts; None if nothing is known about it.

    Examples:
        >>> from datetime import date
        >>> from typing import Literal
        >>> shape_of(date), shape_of(Literal["eu", "us"]), shape_of(int | None)
        ('an ISO date, as 2026-11-22', 'one of eu, us', 'a whole number, as 12, or null')
        >>> shape_of(list[float]), shape_of(dict[str, int])
        ('a JSON list: [a number, as 1.5, ...]', 'a JSON object: {"...": a whole number, as 12}')
    """
    try:
        schema = TypeAdapter[Any](annotation).json_schema()
    except PydanticUserError:
        return None
    return _shape(schema, schema.get("$defs", {}), 0)


def problems_of(annotation: Any, text: str, *, is_raw: bool) -> list[str]:
    """Why a text can't be read as a value of an annotation; empty if it can.

    Args:
        annotation: The type that the text should have.
        text: The text that the user wrote.
        is_raw: Whether the characters are used as they are, because the annotation accepts a `str`.

    Examples:
        >>> problems_of(list[int], "[1, 2", is_raw=False)
        ["this is no JSON: Expecting ',' delimiter at character 6"]
        >>> problems_of(dict[str, int], '{"a": 1, "b": "x"}', is_raw=False)
        ['b: Input should be a valid integer, unable to parse string as an integer']
    """
    try:
        adapter = TypeAdapter[Any](annotation)
    except PydanticUserError:
        return []
    try:
        adapter.validate_python(text)
    except ValidationError as error:
        as_text = _told(error)
    else:
        return []
    if is_raw:
        return as_text
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        as_json = _told(error)
    else:
        return []
    try:
        json.loads(text)
    except ValueError as error:
        if not text.lstrip().startswith(("[", "{")):
            return as_text
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return [f"this is no JSON: {what}{where}"]
    return as_json


def _told(error: ValidationError) -> list[str]:
    said = [
        f"{where}: {problem['msg']}" if (where := ".".join(map(str, problem["loc"]))) else problem["msg"]
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = len(said) - MOST
    return [*said[:MOST], f"and {more:,} more"] if more > 0 else said


def _shape(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> str | None:
    if depth > 2 * DEEPEST:  # a recursive type
        return None
    if (name := schema.get("$ref", "").rpartition("/")[2]) in definitions:
        return _shape(definitions[name], definitions, depth + 1)
    if "const" in schema:
        return _written(schema["const"])
    if "enum" in schema:
        return f"one of {_some(map(_written, schema['enum']))}"
    for ways in ("anyOf", "oneOf", "allOf"):
        if ways in schema:
            shapes = [_shape(way, definitions, depth) for way in schema[ways]]
            return ", or ".join(dict.fromkeys(filter(None, shapes))) or None
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        return None
    said = _TYPES[kind] + _inside(schema, definitions, depth)
    limits = [words.format(schema[name]) for name, words in _LIMITS.items() if name in schema]
    return f"{said} ({', '.join(limits)})" if limits else said


def _inside(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> str:
    """The items of a list, or the fields of an object."""
    if depth == DEEPEST:
        return ""
    items, values = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, dict) and (each := _shape(items, definitions, depth + 1)):
        return f": [{each}, ...]"
    if fields := schema.get("properties"):
        required = schema.get("required", ())
        fields = [
            f'"{name}"{"" if name in required else " (optional)"}: '
            + (_shape(field, definitions, depth + 1) or "anything")
            for name, field in fields.items()
        ]
        return f": {{{_some(fields)}}}"
    if isinstance(values, dict) and (each := _shape(values, definitions, depth + 1)):
        return f': {{"...": {each}}}'
    return ""


def _written(value: object) -> str:
    """Format a value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _some(words: Iterable[str]) -> str:
    shown = list(words)
    more = len(shown) - MOST
    return ", ".join([*shown[:MOST], f"and {more:,} more"] if more > 0 else shown)
