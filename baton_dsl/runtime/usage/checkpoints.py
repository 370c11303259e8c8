"""Convert the results of calls within a step to JSON and back, by the annotation of the called function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from inspect import unwrap
from types import FunctionType, MethodType
from typing import Any, Final, get_args, get_origin

from baton_dsl.core.wording import printable, unstorable
from baton_dsl.errors import CheckpointError, OnceError, StoredValueError
from baton_dsl.hints import evaluated
from baton_dsl.runtime.values import payload
from baton_dsl.step import Step

LONGEST_NAME: Final = 255
"""The most characters of the name of a call."""


def checked_name(name: Any) -> str:
    """Check the name of a call, which is a key in the database.

    Raises:
        OnceError: BTN522, if it is not valid.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        raise OnceError(
            f"the name of a call must be 1 to {LONGEST_NAME} characters, got {name!r:.60}",
            remedy='name the call: context.once("summarize", summarize, text)',
        )
    if reason := unstorable(name):
        raise OnceError(f'the name of a call can\'t be "{printable(name)}": {reason}', remedy="use other characters")
    return str(name)


def encode(node: str, key: tuple[str, int], function: Callable[..., Any], value: Any) -> str:
    """Encode the result of a call as JSON.

    Raises:
        ResultNotSerializableError: BTN502, if it can't be written as JSON, or not read back.
        ResultTooLargeError: BTN503, if it is too large.
    """
    return payload.encode_result(_told(node, key), _annotation(function), value)


def decode(node: str, key: tuple[str, int], function: Callable[..., Any], text: str) -> Any:
    """Decode the result of a call in an earlier attempt.

    Raises:
        CheckpointError: BTN521, if it no longer fits the annotation.
    """
    try:
        return payload.decode_result(node, key[0], _told(node, key), _annotation(function), text)
    except StoredValueError as error:
        raise CheckpointError(
            f'what once("{printable(key[0])}") of step "{node}" has stored can\'t be read any more: {error.message}'
        ) from error


def _told(node: str, key: tuple[str, int]) -> str:
    name, number = key
    return f'{node}: once "{printable(name)}"' + (f", call {number + 1}" if number else "")


def _annotation(function: Callable[..., Any]) -> Any:
    """The return annotation of a function, without the coroutine around it; Any if it has none."""
    plain: Any = function
    while isinstance(plain, partial):
        plain = plain.func
    if isinstance(plain, Step):
        plain = plain.function
    if isinstance(plain, MethodType):
        plain = plain.__func__
    plain = unwrap(plain)
    if not isinstance(plain, FunctionType):
        call = getattr(type(plain), "__call__", None)  # noqa: B004 - an object that can be called
        plain = call if isinstance(call, FunctionType) and not isinstance(plain, type) else plain
    if isinstance(plain, type):
        return plain
    if not isinstance(plain, FunctionType):
        return Any
    hints, failed = evaluated(plain)
    found = Any if "return" in failed else hints.get("return", Any)
    origin, arguments = get_origin(found), get_args(found)
    if origin is Coroutine or (isinstance(origin, type) and issubclass(origin, Coroutine)):
        return arguments[2] if len(arguments) == 3 else Any
    if isinstance(origin, type) and issubclass(origin, Awaitable):
        return arguments[0] if arguments else Any
    return found
