"""Decide whether values of one JSON schema are valid for another: stored values may be older than the code.

The answer is conservative. Values are refused only if pydantic certainly refuses them, in its lax mode (it accepts a
whole number as a float, and a date as a datetime). Only the part of JSON Schema that pydantic writes is understood;
about anything else there is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

type Schema = Mapping[str, Any]

_LAX: Final = frozenset({("integer", "number"), ("boolean", "integer"), ("boolean", "number")})
"""Pairs of types: a validator accepts values of the first type where the second is expected."""
_FORMATS: Final = {
    "date": "a date",
    "date-time": "a date and time",
    "time": "a time",
    "duration": "a duration",
    "uuid": "a UUID",
}
"""Formats of strings that are not plain text, in the words of users."""
_NOUNS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LOWEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_HIGHEST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def refusal(stored: Schema | None, expected: Schema | None) -> str | None:
    """Why not every value of one schema is valid for another.

    Args:
        stored: The schema of the values that were, or will be, written.
        expected: The schema that the reader expects.

    Returns:
        The first difference, in words; None if no difference is known.

    Examples:
        >>> refusal({"type": "integer"}, {"type": "number"})
        >>> refusal({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "integer"}})
        'each item is text, a whole number is expected'
    """
    if stored is None or expected is None:
        return None
    return _Comparison(stored, expected).refusal(stored, expected, "")


@dataclass(slots=True)
class _Comparison:
    """The comparison of two schemas with their definitions. A pair that is being compared already counts as equal."""

    stored: Schema
    expected: Schema
    pairs: set[tuple[int, int]] = field(default_factory=set)

    def refusal(self, stored: object, expected: object, path: str) -> str | None:
        before, after = _resolved(stored, self.stored), _resolved(expected, self.expected)
        if before is None or after is None or not _is_understood(before) or not _is_understood(after):
            return None
        pair = (id(before), id(after))
        if pair in self.pairs:
            return None
        self.pairs.add(pair)
        try:
            return self._compared(before, after, path)
        finally:
            self.pairs.discard(pair)

    def _compared(self, before: Schema, after: Schema, path: str) -> str | None:
        alternatives = _alternatives(before)
        if alternatives is not None:  # a value may be any of these
            return _first(self.refusal(alternative, after, path) for alternative in alternatives)
        choices = _alternatives(after)
        if choices is not None:  # one alternative that accepts it is enough
            refusals = [self.refusal(before, choice, path) for choice in choices]
            if not refusals or any(found is None for found in refusals):
                return None
            return refusals[0] if len(refusals) == 1 else _told(path, _noun(before), "something else")
        return self._single(before, after, path)

    def _single(self, before: Schema, after: Schema, path: str) -> str | None:
        values = _values(before)
        if values is not None:
            return _first(_value_refusal(value, after, path) for value in values)
        if _values(after) is not None:
            return _told(path, _noun(before), f"one of {_listed(_values(after) or ())}") if "type" in before else None
        given, wanted = before.get("type"), after.get("type")
        if not isinstance(given, str) or not isinstance(wanted, str):
            return None
        if given != wanted:
            if (given, wanted) in _LAX or (wanted == "string" and "format" in after and given in ("integer", "number")):
                return None  # pydantic accepts numbers as dates and durations
            if given == "string" and ("format" in before or "pattern" in before):
                return None  # the text of a Decimal is a number
            return _told(path, _noun(before), _noun(after))
        match given:
            case "object":
                return _bounds(before, after, path) or self._object(before, after, path)
            case "array":
                return _bounds(before, after, path) or self._array(before, after, path)
            case "string":
                return _bounds(before, after, path) or _text(before, after, path)
            case _:
                return _bounds(before, after, path)

    def _object(self, before: Schema, after: Schema, path: str) -> str | None:
        had, wanted = before.get("properties"), after.get("properties")
        if not isinstance(had, Mapping):
            return self._values_of(before, after, path)
        if not isinstance(wanted, Mapping):
            every = after.get("additionalProperties")
            return _first(self.refusal(each, every, f"{path}.{name}") for name, each in had.items())
        is_open = before.get("additionalProperties", False) is not False
        always = before.get("required", ())
        for name in after.get("required", ()):
            if name not in had and not is_open:
                return f"{_where(path)}has no {name!r}, which is expected"
            if name in had and name not in always:
                return f"{_where(path)}may have no {name!r}, which is expected"
        if after.get("additionalProperties") is False:
            for name in always:
                if name not in wanted:
                    return f"{_where(path)}has {name!r}, which is not expected any more"
        return _first(self.refusal(had[name], wanted[name], f"{path}.{name}") for name in had if name in wanted)

    def _values_of(self, before: Schema, after: Schema, path: str) -> str | None:
        """Compare objects with arbitrary names, such as those of a dict."""
        given, wanted = before.get("additionalProperties"), after.get("additionalProperties")
        if "properties" in after or not isinstance(given, Mapping) or not isinstance(wanted, Mapping):
            return None
        return self.refusal(given, wanted, f"{path}[each value]")

    def _array(self, before: Schema, after: Schema, path: str) -> str | None:
        given, wanted = before.get("prefixItems"), after.get("prefixItems")
        if isinstance(given, Sequence) and isinstance(wanted, Sequence):
            pairs = enumerate(zip(given, wanted, strict=False))
            return _first(self.refusal(old, new, f"{path}[{number}]") for number, (old, new) in pairs)
        if isinstance(given, Sequence):
            each = after.get("items")
            return _first(self.refusal(old, each, f"{path}[{number}]") for number, old in enumerate(given))
        if isinstance(wanted, Sequence) or "items" not in before:
            return None
        return self.refusal(before["items"], after.get("items"), f"{path}[each item]")


def _resolved(schema: object, document: Schema) -> Schema | None:
    """Resolve the references of a schema; None if it is not a schema."""
    for _ in range(100):
        if not isinstance(schema, Mapping):
            return None
        reference = schema.get("$ref")
        if reference is None:
            return schema
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            return None
        schema = document.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
    return None


_UNDERSTOOD: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "format"),
        *("anyOf", "oneOf", "pattern", "uniqueItems", *_LOWEST, *_HIGHEST),
        # keywords that do not restrict values
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"),
        *("$defs", "contentMediaType", "contentEncoding"),
    }
)


def _is_understood(schema: Schema) -> bool:
    return _UNDERSTOOD.issuperset(schema)


def _alternatives(schema: Schema) -> Sequence[object] | None:
    found = schema.get("anyOf", schema.get("oneOf"))
    return found if isinstance(found, Sequence) else None


def _values(schema: Schema) -> Sequence[object] | None:
    """The only values that a schema allows; None if there are others."""
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return found if isinstance(found, Sequence) else None


def _value_refusal(value: object, after: Schema, path: str) -> str | None:
    """Why one value is certainly refused; None if it may be accepted."""
    values = _values(after)
    if values is not None:
        return None if value in values else _told(path, repr(value), f"one of {_listed(values)}")
    wanted = after.get("type")
    if not isinstance(wanted, str) or "format" in after:
        return None
    is_refused = (
        (value is None and wanted != "null")
        or (isinstance(value, str) and wanted in ("array", "object", "null"))
        or (isinstance(value, str) and wanted in ("integer", "number") and not _is_number(value))
    )
    return _told(path, repr(value), _noun(after)) if is_refused else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bounds(before: Schema, after: Schema, path: str) -> str | None:
    """Report limits that are narrower than before."""
    for name in (*_LOWEST, *_HIGHEST):
        limit, old = after.get(name), before.get(name)
        if not isinstance(limit, int | float):
            continue
        if old is None and _other_of(name) in before:
            continue  # an exclusive limit is nearly the same, and a false finding would be worse
        if name in _LOWEST and name.startswith("min") and name != "minimum" and limit <= 0:
            continue
        is_narrower = old is None or (old < limit if name in _LOWEST else old > limit)
        if is_narrower:
            return f"{_where(path)}is {_noun(before)} with {_limited(name, old)}, {_limited(name, limit)} is expected"
    return None


def _other_of(name: str) -> str:
    plain = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}
    return plain.get(name) or {other: name for name, other in plain.items()}.get(name, "")


def _limited(name: str, limit: object) -> str:
    return f"no {name}" if limit is None else f"{name} {limit}"


def _text(before: Schema, after: Schema, path: str) -> str | None:
    wanted = after.get("format")
    if "format" in before or "pattern" in before:
        return None
    if wanted in _FORMATS:
        return _told(path, "text", _FORMATS[wanted])
    if "pattern" in after and wanted is None:
        return _told(path, "any text", f"text that matches {after['pattern']!r}")
    return None


def _noun(schema: Schema) -> str:
    values = _values(schema)
    if values is not None:
        return f"one of {_listed(values)}"
    kind, form = schema.get("type"), schema.get("format")
    if kind == "string" and form in _FORMATS:
        return _FORMATS[form]
    return _NOUNS.get(str(kind), "something else")


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(repr, values[:5]))
    return f"{shown} and {len(values) - 5} more" if len(values) > 5 else shown


def _told(path: str, given: str, wanted: str) -> str:
    return f"{_where(path)}is {given}, {wanted} is expected"


def _where(path: str) -> str:
    """`.lines[each item].count` as users read it; "it" for the value itself."""
    match path:
        case "":
            return "it "
        case "[each item]":
            return "each item "
        case "[each value]":
            return "each value "
        case _:
            return f"{path.removeprefix('.')} "


def _first(found: Iterator[str | None]) -> str | None:
    return next((refusal for refusal in found if refusal is not None), None)
