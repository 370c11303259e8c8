"""What an annotation says about each place inside a value, according to pydantic's core schema.

Several schemas may describe a place, such as all members of a union. If a schema is not understood here, no schema
describes the place, and callers are then strict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import BaseModel

type Schema = Mapping[str, Any]

ANY: Final[Schema] = {"type": "any"}

_EXACT: Final = frozenset({"none", "bool", "int", "float", "str"})
"""Kinds whose values come back unchanged: pydantic converts them to the exact type during validation."""
_COMPARABLE: Final = _EXACT | frozenset(
    {"any", "bytes", "date", "time", "timedelta", "uuid", "decimal", "enum", "literal", "url", "datetime"}
)
"""Kinds for which `==` is reliable, if the annotation leaves no choice of type.

Where the annotation is `Any`, JSON keeps the type, so an equal value has come back unchanged.
"""
_AROUND: Final = frozenset({"nullable", "default", "function-before", "function-after", "function-wrap", "definitions"})
"""Kinds that wrap another schema, which is their `schema`."""
_COLLECTIONS: Final = frozenset({"list", "set", "frozenset", "generator"})
_DEEPEST: Final = 64
"""The most nested wrappers that are unwrapped; more would be endless."""


@dataclass(frozen=True, slots=True)
class Position:
    """One of the schemas that describe a place.

    Attributes:
        schema: The schema of pydantic.
        is_abstract: Whether the annotation is abstract, such as `Sequence`: then pydantic chooses the class of the
            decoded value.
        is_altered: Whether a validator creates the value from what the schema describes.
    """

    schema: Schema
    is_abstract: bool = False
    is_altered: bool = False

    @property
    def kind(self) -> str:
        """The type of the schema."""
        return str(self.schema.get("type"))


@dataclass(frozen=True, slots=True)
class Positions:
    """The schemas that describe a place in a value.

    Attributes:
        members: The schemas, without wrappers.
        definitions: The schemas of the whole annotation that others refer to by name.
    """

    members: tuple[Position, ...]
    definitions: Mapping[str, Schema] = field(default_factory=dict)
    _below: dict[object, Positions] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(schema: Any) -> Positions:
        """The schemas of a whole value."""
        definitions: dict[str, Schema] = {}
        inner = schema
        while isinstance(inner, Mapping) and inner.get("type") in _AROUND:
            for definition in inner.get("definitions", ()):
                definitions.setdefault(definition.get("ref"), definition)
            inner = inner.get("schema")
        return Positions(tuple(_plain(schema, definitions)), definitions)

    @property
    def are_loose(self) -> bool:
        """True where the annotation may be `Any`: JSON then decides the type of the decoded value."""
        return any(member.kind == "any" for member in self.members)

    @property
    def are_abstract(self) -> bool:
        """True where pydantic chooses the class of a collection."""
        return any(member.is_abstract for member in self.members)

    @property
    def are_streams(self) -> bool:
        """True where the value can be read only once."""
        return any(member.kind == "generator" for member in self.members)

    def field(self, name: str) -> Positions:
        """The schemas of a field of a model, a dataclass, a `TypedDict` or a `NamedTuple`."""
        if (known := self._below.get(name)) is not None:
            return known
        return self._inside(name, [schema for member in self.members for schema in _field(member.schema, name)])

    def item(self, index: int) -> Positions:
        """The schemas of an item of a collection."""
        schemas = [schema for member in self.members for schema in _item(member.schema, index)]
        return self._inside(tuple(map(id, schemas)), schemas)

    def value(self, name: object) -> Positions:
        """The schemas of a value of a dict."""
        found = [it.schema.get("values_schema", ANY) for it in self.members if it.kind == "dict"]
        if isinstance(name, str):
            found += [
                it for member in self.members if member.kind == "typed-dict" for it in _field(member.schema, name)
            ]
        return self._inside(tuple(map(id, found)), found)

    def keys(self) -> Positions:
        """The schemas of the keys of a dict."""
        found = [member.schema.get("keys_schema", ANY) for member in self.members if member.kind == "dict"]
        return self._inside(tuple(map(id, found)), found)

    def _inside(self, key: object, schemas: Sequence[Schema]) -> Positions:
        """The schemas of a place inside this one. Cached, because a list has many items."""
        known = self._below.get(key)
        if known is None:
            members = tuple(position for schema in schemas for position in _plain(schema, self.definitions))
            known = self._below[key] = Positions(members, self.definitions)
        return known

    # -- what can be known without a value ------------------------------------------------------------------------

    def are_proven(self) -> bool:
        """True if every value that fits comes back unchanged.

        Exceptions are strings that are not Unicode and numbers of thousands of digits; `payload` finds them in the
        JSON.
        """
        return _are_all(self, _EXACT, frozenset({"list", "tuple", "dict"}), set(), may_recur=False)

    def are_told_by_equality(self) -> bool:
        """True if `==` alone can decide that a value came back unchanged: no union, no `Any`, no code of users."""
        return _are_all(self, _COMPARABLE, frozenset({"list", "tuple", "dict", "model"}), set(), may_recur=True)

    def items(self) -> list[Positions]:
        """The schemas of all items of a tuple."""
        found = [it for member in self.members for it in member.schema.get("items_schema", [ANY])]
        return [self._inside((id(it),), [it]) for it in found]


def _are_all(
    positions: Positions, leaves: frozenset[str], within: frozenset[str], seen: set[int], *, may_recur: bool
) -> bool:
    """True if one schema describes a place, of a kind in `leaves`; or in `within`, if the same holds for its contents.

    Args:
        positions: The place.
        leaves: Kinds of schemas without contents.
        within: Kinds of schemas with contents.
        seen: The schemas that were checked already, by identity.
        may_recur: The result for a schema that was checked already.
    """
    members = [it for it in positions.members if it.kind != "none"]
    if len(members) > 1 or not positions.members:
        return False
    if not members:
        return True
    (member,) = members
    if "serialization" in member.schema or member.is_abstract or member.is_altered:
        return False
    if member.kind in leaves:
        return True
    if member.kind not in within:
        return False
    if id(member.schema) in seen:
        return may_recur
    seen.add(id(member.schema))
    below: list[Positions]
    match member.kind:
        case "dict":
            if [key.kind for key in positions.keys().members] != ["str"]:
                return False
            below = [positions.value(None)]
        case "model":
            cls = member.schema["cls"]
            if cls.__eq__ is not BaseModel.__eq__ or member.schema.get("root_model"):
                return False
            below = [positions.field(name) for name in cls.model_fields]
        case "tuple":
            below = positions.items()
        case _:
            below = [positions.item(0)]
    return all(_are_all(each, leaves, within, seen, may_recur=may_recur) for each in below)


def _plain(
    schema: Any,
    definitions: Mapping[str, Schema],
    *,
    is_abstract: bool = False,
    is_altered: bool = False,
    depth: int = 0,
) -> list[Position]:
    """Unwrap a schema; for a union, unwrap all members."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return []
    kind = schema.get("type")
    inside: list[Any]
    if kind in _AROUND:
        inside = [schema.get("schema")]
        is_altered = is_altered or str(kind).startswith("function-")
        if kind == "nullable":
            inside.append({"type": "none"})
    elif kind == "definition-ref":
        inside = [definitions.get(schema["schema_ref"])]
    elif kind == "union":
        inside = [choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]]
    elif kind == "tagged-union":
        inside = list(schema["choices"].values())
    elif kind == "json-or-python":
        inside, is_abstract = [schema["json_schema"]], True
    elif kind == "lax-or-strict":
        inside = [schema["lax_schema"]]
    elif kind == "chain":
        inside = list(schema["steps"][-1:])
    else:
        return [Position(cast("Schema", schema), is_abstract, is_altered)]
    is_altered = is_altered or "serialization" in schema
    return [
        position
        for part in inside
        for position in _plain(part, definitions, is_abstract=is_abstract, is_altered=is_altered, depth=depth + 1)
    ]


def _field(schema: Schema, name: str) -> list[Schema]:
    """The schemas of a field; for an undeclared one, if extra fields are allowed, those of any value."""
    inner: Any = schema
    for _ in range(_DEEPEST):
        if not isinstance(inner, Mapping) or ("fields" in inner and inner.get("type") != "dataclass"):
            break
        inner = inner.get("schema") or inner.get("arguments_schema")
    if not isinstance(inner, Mapping):
        return []
    fields = inner.get("fields") or inner.get("arguments_schema") or ()
    if isinstance(fields, Mapping):
        found = fields.get(name)
    else:
        found = next((it for it in cast("Sequence[Schema]", fields) if it.get("name") == name), None)
    if found is not None:
        return [found["schema"]]
    if inner.get("type") == "model-fields" or inner.get("type") == "typed-dict":
        return [inner.get("extras_schema", ANY)]
    return []


def _item(schema: Schema, index: int) -> list[Schema]:
    kind = schema.get("type")
    if kind in _COLLECTIONS:
        return [schema.get("items_schema", ANY)]
    if kind == "tuple":
        items = schema.get("items_schema", [ANY])
        variadic = schema.get("variadic_item_index")
        if variadic is not None:
            return (
                [items[min(index, len(items) - 1)]] if index < variadic or len(items) == 1 else list(items[variadic:])
            )
        return [items[index]] if index < len(items) else []
    return []
