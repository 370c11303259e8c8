"""JSON Schemas of annotations: what their values are written as, and what they accept."""

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
    """The schema of what is really written: without computed fields, which a model could not read again."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> JsonSchemaValue:
        return super().model_fields_schema({**schema, "computed_fields": []})

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> JsonSchemaValue:
        return super().dataclass_args_schema({**schema, "computed_fields": []})

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Text, but not any: it is a number."""
        return {"type": "string", "format": "decimal"}

    def field_is_required(self, field: _Field, total: bool) -> bool:
        """Whether it is always written: a default is, though it need not be read."""
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return not (field.get("serialization_exclude") or field.get("serialization_exclude_if"))


class _Accepted(GenerateJsonSchema):
    """The schema of what is certainly all that is read: what a function of the user may make of it, nobody knows."""

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
        """Text, unless the model has chosen to take numbers too."""
        takes_numbers = schema.get("coerce_numbers_to_str") or getattr(
            getattr(self, "_config", None), "coerce_numbers_to_str", False
        )
        return {} if takes_numbers else super().str_schema(schema)

    def field_is_required(self, field: _Field, total: bool) -> bool:
        """As pydantic's; a field with several aliases has no name to go by."""
        self._has_choices = self._has_choices or isinstance(field.get("validation_alias"), list)
        return super().field_is_required(field, total)


def returned(annotation: Any) -> Schema | None:
    """The schema of the JSON that is written of values of an annotation; None if it has none."""
    return _schema(annotation, "serialization", by_alias=False)


def accepted(annotation: Any, *, by_alias: bool = False) -> Schema | None:
    """The schema of the JSON that an annotation takes; None if it has none.

    Args:
        annotation: The annotation.
        by_alias: Whether fields go by their aliases; a value is read by both.
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
        return None  # the flow is judged elsewhere; here it only can't be compared
