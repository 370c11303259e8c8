"""Convert results and inputs to JSON and back, validated by their annotations both ways. There is no pickle."""

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
"""What bare annotations need to come back as they went: NaN and infinities, bytes that are no UTF-8."""


_UNREADABLE: Final = (Exception, SystemExit, GeneratorExit)
"""What says that a stored value can't be read: a validator is a function of the user's, and may raise anything."""


class Changed(ValueError):  # noqa: N818 - it is told as an error of the step or the input
    """A value that would not come back as it was given; the text says where and how.

    Attributes:
        remedy: What to do, if there is more to say than that plain data comes back.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _Codec:
    """What writes and reads the values of an annotation, and what is known of them beforehand.

    Attributes:
        adapter: Pydantic's.
        positions: What the annotation says of each place in a value.
        is_proven: Whether each of its values comes back, but for half characters in keys and numbers that are too long.
        is_told_by_equality: Whether `==` says that one has come back.
    """

    adapter: TypeAdapter[Any]
    positions: Positions
    is_proven: bool
    is_told_by_equality: bool


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Pydantic's adapter for an annotation, made once."""
    return _codec_of(annotation).adapter


def _codec_of(annotation: Any) -> _Codec:
    try:
        # `date | datetime` equals `datetime | date`, but where both fit the first one wins: spelling counts.
        return _codec(annotation, str(annotation))
    except TypeError:  # unhashable metadata
        return _make(annotation)


@lru_cache(maxsize=4096)
def _codec(annotation: Any, _spelling: str) -> _Codec:
    return _make(annotation)


def _make(annotation: Any) -> _Codec:
    # A model, dataclass or TypedDict alone refuses a configuration; within something else, and be it an alias, it
    # takes it over unless it has one of its own.
    whole: Any = TypeAliasType("Whole", annotation)
    made = TypeAdapter[Any](whole, config=_LOSSLESS)
    positions = Positions.of(made.core_schema)
    return _Codec(made, positions, positions.are_proven(), positions.are_told_by_equality())


_LONGEST_INT: Final = 4300
"""Digits of a number that Python and pydantic read."""
_DIGITS: Final = re.compile(rb"[0-9]*")
_HALF: Final = "\ufffd".encode()
"""What pydantic writes for half a character in a key of a dict."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
"""A text or a number of JSON."""
_EXPONENT: Final = re.compile(r"[0-9][eE]")


def _write(codec: _Codec, value: Any) -> tuple[Any, bytes]:
    """A value as its annotation has it, and as JSON."""
    fitted = codec.adapter.validate_python(value)
    # Names, not aliases, and no computed fields: a model must be able to read what it has written. What pydantic warns
    # of is told by `_check`, if it matters.
    written = codec.adapter.dump_json(fitted, by_alias=False, round_trip=True, warnings=False)
    if b"NaN" in written or b"Infinity" in written:  # a model may say that its own are written as constants
        json.loads(written, parse_constant=_refuse, parse_int=str)
    return fitted, written


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no JSON; say ser_json_inf_nan="strings" in the configuration of the model')


def _check(codec: _Codec, fitted: Any, written: bytes, text: str) -> None:
    """Read a value as it will be read, and compare it.

    Args:
        codec: Of its annotation.
        fitted: The value.
        written: Its JSON.
        text: The JSON as the database gives it back.

    Raises:
        Changed: If it can't be read, or is another value then.
    """
    if codec.is_proven and _HALF not in written and not _has_long_number(written):
        return
    try:
        decoded = _decode(codec, text)
    except Exception as error:  # validators are code of users, which may raise anything
        raise Changed(_told(error)) from error
    if codec.is_told_by_equality:
        with suppress(Exception):  # such as the RecursionError of a deep tree
            if fitted == decoded:
                return

    def is_written_alike() -> bool:
        try:
            return codec.adapter.dump_json(decoded, by_alias=False, round_trip=True, warnings=False) == written
        except Exception:  # noqa: BLE001 - serializers are code of users
            return False

    try:
        found = difference(fitted, decoded, codec.positions, is_written_alike)
    except RecursionError as error:
        raise Changed("it is nested too deeply") from error
    if found:
        raise Changed(str(found), found.remedy)


def _has_long_number(written: bytes) -> bool:
    """Whether there may be a number that is too long to be read: one byte in so many tells."""
    for at in range(_LONGEST_INT - 1, len(written), _LONGEST_INT):
        end = cast("re.Match[bytes]", _DIGITS.match(written, at)).end()
        start = at
        while start and written[start - 1 : start].isdigit():
            start -= 1
        if end - start >= _LONGEST_INT:
            return True
    return False


def decode(annotation: Any, text: str) -> Any:
    """A value from its JSON.

    Raises:
        ValidationError: If it is not what the annotation says.
    """
    return _decode(_codec_of(annotation), text)


def _decode(codec: _Codec, text: str) -> Any:
    value = codec.adapter.validate_json(text, by_alias=True, by_name=True)
    # An `Iterable` is validated while it is read, once; a list can be read again and is right or wrong at once.
    return list(value) if isinstance(value, Iterator) else value


def encode(annotation: Any, value: Any) -> str:
    """An input as JSON.

    Raises:
        ValidationError: If the value is not what the annotation says.
        PydanticSerializationError: If pydantic can't write it as JSON.
        Changed: If it would not come back from the job's args, which are `jsonb`.
    """
    codec = _codec_of(annotation)
    fitted, written = _write(codec, value)
    text = written.decode()
    _check(codec, fitted, written, _as_jsonb(text) if not codec.is_proven and _EXPONENT.search(text) else text)
    return text


def _as_jsonb(text: str) -> str:
    """JSON with its numbers as `jsonb` writes them: without exponents, so that a float may look like an int."""

    def plain(found: re.Match[str]) -> str:
        token = found[0]
        return token if token[0] == '"' or "e" not in token.lower() else format(Decimal(token), "f")

    return _TOKEN.sub(plain, text)


def encode_result(step: str, annotation: Any, value: Any) -> str:
    """What a step returned, as JSON.

    Args:
        step: The step's name, for the message.
        annotation: The step's return annotation.
        value: What it returned.

    Raises:
        ResultNotSerializableError: If the value is not what the annotation says, can't be written as JSON, or is not
            what is read then.
        ResultTooLargeError: If the JSON has more bytes than `result_limit`.
    """
    try:
        codec = _codec_of(annotation)
        fitted, written = _write(codec, value)
    except ValidationError as error:
        raise ResultNotSerializableError(
            f'step "{step}" returned {type(value).__name__}, which is no {_show(annotation)}: {_told(error)}'
        ) from error
    except Exception as error:  # pydantic's, and what validators and serializers of users raise
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
    except MemoryError:
        raise
    except _UNREADABLE as error:
        what = "an item" if is_item else "the stored result"
        raise StoredValueError(
            f'{what} of "{upstream}" is no {_show(annotation)}, which parameter "{parameter}" of step '
            f'"{step}" expects: {_told(error)}'
        ) from error


def decode_input(step: str, name: str, annotation: Any, value: Any) -> Any:
    """An input from a job's args, as the parameter's annotation has it.

    Raises:
        StoredValueError: If it does not validate.
    """
    try:
        # The JSON of the row was parsed with it; only JSON again tells a list from a tuple, a string from a date.
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
    """What an error says, on one line; of one that is not pydantic's its class too."""
    with suppress(Exception):  # an error of the user's may have no text
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return shortened(f"{where}: {first['msg']}" if where else str(first["msg"]), 4096)
        if isinstance(error, PydanticSerializationError | PydanticUserError | ValueError):
            return shortened(str(error).splitlines()[0], 4096)
    return described(error)
