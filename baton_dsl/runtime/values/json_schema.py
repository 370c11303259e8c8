"""JSON schemas of annotations: of the JSON that their values are written as, and of the JSON that they accept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from baton_dsl.runtime.values import payload

type Schema = Mapping[str, Any]
"""A JSON Schema, as pydantic writes it."""

type _Field = core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField


class _Returned(GenerateJsonSchema):
    """Generates the schema of what is really written, without computed fields, which a model could not read back."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> JsonSchemaValue:
        return super().model_fields_schema({**schema, "computed_fields": []})

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> JsonSchemaValue:
        return super().dataclass_args_schema({**schema, "computed_fields": []})

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """The schema of a Decimal: a string that contains a number."""
        return {"type": "string", "format": "decimal"}

    def field_is_required(self, field: _Field, total: bool) -> bool:
        """Whether a field is always written. One with a default is, although a reader does not need it."""
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return not (field.get("serialization_exclude") or field.get("serialization_exclude_if"))


class _Accepted(GenerateJsonSchema):
    """Generates the schema of what is accepted; anything if a user's validator decides, because that is unknown."""

    ignored_warning_kinds = _Returned.ignored_warning_kinds
    _has_choices = False

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        generated = super().generate(schema, mode)
        return {} if self._has_choices else generated

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return {}

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return {}

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        return {}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """The schema of a string, unless the model accepts numbers too."""
        takes_numbers = schema.get("coerce_numbers_to_str") or getattr(
            getattr(self, "_config", None), "coerce_numbers_to_str", False
        )
        return {} if takes_numbers else super().str_schema(schema)

    def field_is_required(self, field: _Field, total: bool) -> bool:
        """As pydantic, but a field with several aliases is not required, because its name is not unique."""
        self._has_choices = self._has_choices or isinstance(field.get("validation_alias"), list)
        return super().field_is_required(field, total)


def returned(annotation: Any) -> Schema | None:
    """The schema of the JSON that values of an annotation are written as; None if it has none."""
    return _schema(annotation, "serialization", by_alias=False)


def accepted(annotation: Any, *, by_alias: bool = False) -> Schema | None:
    """The schema of the JSON that an annotation accepts; None if it has none.

    Args:
        annotation: The annotation.
        by_alias: Whether the schema names fields by their aliases. Values are read by both.
    """
    return _schema(annotation, "validation", by_alias=by_alias)


def _schema(annotation: Any, mode: JsonSchemaMode, *, by_alias: bool) -> Schema | None:
    try:
        return _schema_of(annotation, str(annotation), mode, by_alias)
    except TypeError:  # unhashable metadata
        return _make_schema(annotation, mode, by_alias)


@lru_cache(maxsize=4096)
def _schema_of(annotation: Any, _spelling: str, mode: JsonSchemaMode, by_alias: bool) -> Schema | None:
    return _make_schema(annotation, mode, by_alias)


def _make_schema(annotation: Any, mode: JsonSchemaMode, by_alias: bool) -> Schema | None:
    generator = _Accepted if mode == "validation" else _Returned
    try:
        return payload.adapter(annotation).json_schema(mode=mode, by_alias=by_alias, schema_generator=generator)
    except (PydanticInvalidForJsonSchema, PydanticUserError, ValueError, TypeError, RecursionError):
        return None  # other code reports problems of the annotation; here it just can't be compared
