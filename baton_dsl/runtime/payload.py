"""Results and inputs as JSON: validated by the annotations on the way in and on the way out. There is no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, TypeAliasType

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from baton_dsl.core.wording import shortened
from baton_dsl.errors import ResultNotSerializableError, ResultTooLargeError, StoredValueError
from baton_dsl.runtime.raised import described

_LOSSLESS: Final = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")
"""What bare annotations need to come back as they went: NaN and infinities, bytes that are no UTF-8."""


_UNREADABLE: Final = (Exception, SystemExit, GeneratorExit)
"""What says that a stored value can't be read: a validator is a function of the user's, and may raise anything."""


def result_limit() -> int:
    """The most bytes of JSON that one result may have: `BATON_RESULT_LIMIT`, or 16 MiB.

    Raises:
        ValueError: If `BATON_RESULT_LIMIT` is no number of bytes.
    """
    given = os.environ.get("BATON_RESULT_LIMIT", "")
    if not given:
        return 16 * 1024 * 1024
    if not given.isdecimal():
        raise ValueError(f"BATON_RESULT_LIMIT must be a whole number of bytes, got {given!r}")
    return int(given)


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Pydantic's adapter for an annotation, made once."""
    try:
        # `date | datetime` equals `datetime | date`, but where both fit the first one wins: spelling counts.
        return _adapter(annotation, str(annotation))
    except TypeError:  # unhashable metadata
        return _make(annotation)


@lru_cache(maxsize=4096)
def _adapter(annotation: Any, _spelling: str) -> TypeAdapter[Any]:
    return _make(annotation)


def _make(annotation: Any) -> TypeAdapter[Any]:
    # A model, dataclass or TypedDict alone refuses a configuration; within something else, and be it an alias, it
    # takes it over unless it has one of its own.
    whole: Any = TypeAliasType("Whole", annotation)
    return TypeAdapter(whole, config=_LOSSLESS)


def _encode(annotation: Any, value: Any) -> bytes:
    codec = adapter(annotation)
    # Names, not aliases, and no computed fields: a model must be able to read what it has written.
    written = codec.dump_json(codec.validate_python(value), by_alias=False, round_trip=True)
    if b"NaN" in written or b"Infinity" in written:  # a model may say that its own are written as constants
        json.loads(written, parse_constant=_refuse, parse_int=str)
    return written


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no JSON; say ser_json_inf_nan="strings" in the configuration of the model')


def decode(annotation: Any, text: str) -> Any:
    """A value from its JSON.

    Raises:
        ValidationError: If it is not what the annotation says.
    """
    value = adapter(annotation).validate_json(text, by_alias=True, by_name=True)
    # An `Iterable` is validated while it is read, once; a list can be read again and is right or wrong at once.
    return list(value) if isinstance(value, Iterator) else value


def encode(annotation: Any, value: Any) -> str:
    """A value as JSON.

    Raises:
        ValidationError: If the value is not what the annotation says.
        PydanticSerializationError: If pydantic can't write it as JSON.
    """
    return _encode(annotation, value).decode()


def encode_result(step: str, annotation: Any, value: Any) -> str:
    """What a step returned, as JSON.

    Args:
        step: The step's name, for the message.
        annotation: The step's return annotation.
        value: What it returned.

    Raises:
        ResultNotSerializableError: If the value is not what the annotation says, or can't be written as JSON.
        ResultTooLargeError: If the JSON has more bytes than `result_limit`.
    """
    try:
        written = _encode(annotation, value)
    except ValidationError as error:
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which is no {_show(annotation)}: {_first_line(error)}'
        ) from error
    except (PydanticSerializationError, PydanticUserError, ValueError) as error:
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which JSON can\'t carry as {_show(annotation)}: '
            f"{_first_line(error)}"
        ) from error
    size, limit = len(written), result_limit()
    if size > limit:
        raise ResultTooLargeError(f'step "{step}" returned {size:,} bytes of JSON, the limit is {limit:,}')
    return written.decode()


def decode_result(
    step: str, parameter: str, upstream: str, annotation: Any, text: str | None, *, is_item: bool = False
) -> Any:
    """An upstream's stored result, as the parameter's annotation has it; None if there is none.

    Args:
        step: Who takes it.
        parameter: Where.
        upstream: Whose it is.
        annotation: The parameter's.
        text: The JSON.
        is_item: Whether it is one item of the upstream's result.

    Raises:
        StoredValueError: If it does not validate.
    """
    if text is None:
        return None
    try:
        return decode(annotation, text)
    except _UNREADABLE as error:
        what = "an item" if is_item else "the stored result"
        raise StoredValueError(
            f'{what} of "{upstream}" is no {_show(annotation)}, which parameter "{parameter}" of step '
            f'"{step}" expects: {_first_line(error)}'
        ) from error


def decode_input(step: str, name: str, annotation: Any, value: Any) -> Any:
    """An input from a job's args, as the parameter's annotation has it.

    Raises:
        StoredValueError: If it does not validate.
    """
    try:
        # The JSON of the row was parsed with it; only JSON again tells a list from a tuple, a string from a date.
        return decode(annotation, json.dumps(value))
    except _UNREADABLE as error:
        raise StoredValueError(
            f'the stored input "{name}" of step "{step}" is no {_show(annotation)}: {_first_line(error)}'
        ) from error


def _show(annotation: Any) -> str:
    return (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )


def _first_line(error: BaseException) -> str:
    with suppress(Exception):  # an error of the user's may have no text
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return shortened(f"{where}: {first['msg']}" if where else str(first["msg"]), 4096)
        if isinstance(error, PydanticSerializationError | PydanticUserError | ValueError):
            return shortened(str(error).splitlines()[0], 4096)
    return described(error)
