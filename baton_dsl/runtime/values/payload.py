"""Convert results and inputs to JSON and back, validated by their annotations in both directions. No pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAliasType, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from baton_dsl.core.wording import shortened
from baton_dsl.errors import ResultNotSerializableError, ResultTooLargeError, StoredValueError
from baton_dsl.runtime.values.comparing import difference
from baton_dsl.runtime.values.limits import result_limit
from baton_dsl.runtime.values.positions import Positions
from baton_dsl.runtime.values.raised import described

_LOSSLESS: Final = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")
"""The configuration with which NaN, infinities and bytes that are not UTF-8 come back unchanged."""


_UNREADABLE: Final = (Exception, SystemExit, GeneratorExit)
"""The exceptions when a stored value can't be read: validators of users may raise anything."""


class Changed(ValueError):  # noqa: N818 - it becomes an error of the step or the input
    """A value would not come back unchanged; the message says where and how.

    Attributes:
        remedy: What to do about it, if there is better advice than to return plain data.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _Codec:
    """Writes and reads the values of an annotation.

    Attributes:
        adapter: The adapter of pydantic.
        positions: What the annotation says about each part of a value.
        is_proven: Whether all of its values come back unchanged, except lone surrogates in keys and too long numbers.
        is_told_by_equality: Whether `==` can decide that a value came back unchanged.
    """

    adapter: TypeAdapter[Any]
    positions: Positions
    is_proven: bool
    is_told_by_equality: bool


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Pydantic's adapter for an annotation. Cached."""
    return _codec_of(annotation).adapter


def _codec_of(annotation: Any) -> _Codec:
    try:
        # `date | datetime` equals `datetime | date`, but if both fit, the first one wins. So the spelling is part of
        # the key.
        return _codec(annotation, str(annotation))
    except TypeError:  # unhashable metadata
        return _make(annotation)


@lru_cache(maxsize=4096)
def _codec(annotation: Any, _spelling: str) -> _Codec:
    return _make(annotation)


def _make(annotation: Any) -> _Codec:
    # pydantic does not accept a configuration for a model, dataclass or TypedDict alone. Inside something else, even an
    # # alias, such a type inherits the configuration unless it has its own.
    whole: Any = TypeAliasType("Whole", annotation)
    made = TypeAdapter[Any](whole, config=_LOSSLESS)
    positions = Positions.of(made.core_schema)
    return _Codec(made, positions, positions.are_proven(), positions.are_told_by_equality())


_LONGEST_INT: Final = 4300
"""The most digits of a number that Python and pydantic read."""
_DIGITS: Final = re.compile(rb"[0-9]*")
_HALF: Final = "\ufffd".encode()
"""What pydantic writes for a lone surrogate in a key of a dict."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
"""A string or a number in JSON."""
_EXPONENT: Final = re.compile(r"[0-9][eE]")


def _write(codec: _Codec, value: Any) -> tuple[Any, bytes]:
    """A value as its annotation validates it, and its JSON."""
    fitted = codec.adapter.validate_python(value)
    # Names, not aliases, and no computed fields: a model must be able to read what it has written. `_check` reports
    # what # pydantic would warn about, if it matters.
    written = codec.adapter.dump_json(fitted, by_alias=False, round_trip=True, warnings=False)
    if b"NaN" in written or b"Infinity" in written:  # the configuration of a model may write its own as constants
        json.loads(written, parse_constant=_refuse, parse_int=str)
    return fitted, written


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is not JSON; set ser_json_inf_nan="strings" in the configuration of the model')


def _check(codec: _Codec, fitted: Any, written: bytes, text: str) -> None:
    """Read a value back as it will be read later, and compare it.

    Args:
        codec: The codec of its annotation.
        fitted: The value.
        written: Its JSON.
        text: The JSON as the database returns it.

    Raises:
        Changed: If it can't be read back, or is then another value.
    """
    if codec.is_proven and _HALF not in written and not _has_long_number(written):
        return
    try:
        decoded = _decode(codec, text)
    except Exception as error:  # validators of users may raise anything
        raise Changed(_told(error)) from error
    if codec.is_told_by_equality:
        with suppress(Exception):  # such as the RecursionError of a deep tree
            if fitted == decoded:
                return

    def is_written_alike() -> bool:
        try:
            return codec.adapter.dump_json(decoded, by_alias=False, round_trip=True, warnings=False) == written
        except Exception:  # noqa: BLE001 - serializers of users may raise anything
            return False

    try:
        found = difference(fitted, decoded, codec.positions, is_written_alike)
    except RecursionError as error:
        raise Changed("it is nested too deeply") from error
    if found:
        raise Changed(str(found), found.remedy)


def _has_long_number(written: bytes) -> bool:
    """Whether JSON may contain a number that is too long to be read. Only every n-th byte is checked."""
    for at in range(_LONGEST_INT - 1, len(written), _LONGEST_INT):
        end = cast("re.Match[bytes]", _DIGITS.match(written, at)).end()
        start = at
        while start and written[start - 1 : start].isdigit():
            start -= 1
        if end - start >= _LONGEST_INT:
            return True
    return False


def decode(annotation: Any, text: str) -> Any:
    """Decode a value from its JSON.

    Raises:
        ValidationError: If it does not fit the annotation.
    """
    return _decode(_codec_of(annotation), text)


def _decode(codec: _Codec, text: str) -> Any:
    value = codec.adapter.validate_json(text, by_alias=True, by_name=True)
    # An `Iterable` is validated lazily and only once; a list is validated now, and can be read repeatedly.
    return list(value) if isinstance(value, Iterator) else value


def encode(annotation: Any, value: Any) -> str:
    """Encode an input as JSON.

    Raises:
        ValidationError: If the value does not fit the annotation.
        PydanticSerializationError: If pydantic can't write it as JSON.
        Changed: If it would not come back unchanged from the job's args, which are `jsonb`.
    """
    codec = _codec_of(annotation)
    fitted, written = _write(codec, value)
    text = written.decode()
    _check(codec, fitted, written, _as_jsonb(text) if not codec.is_proven and _EXPONENT.search(text) else text)
    return text


def _as_jsonb(text: str) -> str:
    """JSON with numbers as `jsonb` writes them: without exponents, so that a float may look like an int."""

    def plain(found: re.Match[str]) -> str:
        token = found[0]
        return token if token[0] == '"' or "e" not in token.lower() else format(Decimal(token), "f")

    return _TOKEN.sub(plain, text)


def encode_result(step: str, annotation: Any, value: Any) -> str:
    """Encode the result of a step as JSON.

    Args:
        step: The step's name, for the message.
        annotation: The step's return annotation.
        value: What it returned.

    Raises:
        ResultNotSerializableError: If the value does not fit the annotation, can't be written as JSON, or does not come
            back unchanged.
        ResultTooLargeError: If the JSON has more bytes than `result_limit`.
    """
    try:
        codec = _codec_of(annotation)
        fitted, written = _write(codec, value)
    except ValidationError as error:
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which is no {_show(annotation)}: {_told(error)}'
        ) from error
    except Exception as error:  # validators and serializers of users may raise anything
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which JSON can\'t carry as {_show(annotation)}: '
            f"{_told(error)}"
        ) from error
    size, limit = len(written), result_limit()
    if size > limit:
        raise ResultTooLargeError(f'step "{step}" returned {size:,} bytes of JSON, the limit is {limit:,}')
    text = written.decode()
    try:
        _check(codec, fitted, written, text)
    except Changed as error:
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which can\'t be read back as {_show(annotation)}: {error}',
            remedy=error.remedy,
        ) from error
    return text


def decode_result(
    step: str, parameter: str, upstream: str, annotation: Any, text: str | None, *, is_item: bool = False
) -> Any:
    """Decode an upstream's stored result for a parameter; None if there is none.

    Args:
        step: The step that takes it.
        parameter: The parameter.
        upstream: The upstream.
        annotation: The annotation of the parameter.
        text: The JSON.
        is_item: Whether it is one item of the upstream's result.

    Raises:
        StoredValueError: If it does not validate.
    """
    if text is None:
        return None
    try:
        return decode(annotation, text)
    except MemoryError:
        raise
    except _UNREADABLE as error:
        what = "an item" if is_item else "the stored result"
        raise StoredValueError(
            f'{what} of "{upstream}" is no {_show(annotation)}, which parameter "{parameter}" of step '
            f'"{step}" expects: {_told(error)}'
        ) from error


def decode_input(step: str, name: str, annotation: Any, value: Any) -> Any:
    """Decode an input from a job's args for a parameter.

    Raises:
        StoredValueError: If it does not validate.
    """
    try:
        # The args were already parsed. In pydantic, only JSON input allows a list for a tuple, or a string for a date.
        return decode(annotation, json.dumps(value))
    except MemoryError:
        raise
    except _UNREADABLE as error:
        raise StoredValueError(
            f'the stored input "{name}" of step "{step}" is no {_show(annotation)}: {_told(error)}'
        ) from error


def _show(annotation: Any) -> str:
    return (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )


def _told(error: BaseException) -> str:
    """The message of an error on one line, with its class if it is not one of pydantic's."""
    with suppress(Exception):  # the text of a user's error may not be available
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return shortened(f"{where}: {first['msg']}" if where else str(first["msg"]), 4096)
        if isinstance(error, PydanticSerializationError | PydanticUserError | ValueError):
            return shortened(str(error).splitlines()[0], 4096)
    return described(error)
