"""Turn whatever a function raised into an error that Oban can store.

Oban asks each exception for its text and its class for its name, and stores the traceback. What it can't have so, no
attempt ends with: the job would seem to run for ever. An error of many megabytes no acknowledgement gets through.
"""

from __future__ import annotations

import traceback
from typing import Any, Final

from baton_dsl.core.wording import LONGEST_ERROR, shortened, storable

MOST: Final = 16 * LONGEST_ERROR
"""Characters of a traceback that Oban may make. What is stored of it is cut to `LONGEST_ERROR` later."""

_NAME: Final[Any] = type.__dict__["__name__"]
_QUALNAME: Final[Any] = type.__dict__["__qualname__"]
_DICT: Final[Any] = type.__dict__["__dict__"]  # none of them asks the metaclass


class StandIn(Exception):  # noqa: N818 - what is raised has the name of what it stands for
    """Takes the place of an exception that can't be told as it is. Each has a class with the name of that one's."""


def tellable(error: Exception) -> Exception:
    """An exception that Oban can tell of: the same one wherever that is possible.

    Examples:
        >>> class Mistaken(Exception):
        ...     def __str__(self) -> str:
        ...         return "failed with %s: %s" % self.args
        >>> error = tellable(Mistaken(7))
        >>> print(f"{type(error).__name__}: {error}")
        Mistaken: (it has no text: __str__ raised TypeError: not enough arguments for format string)
    """
    if _is_told(error):
        return error
    try:
        error.__cause__, error.__suppress_context__ = None, True
        error.add_note("(What it came from is left out: that can't be told, or is too long.)")
        if _is_told(error):
            return error
    except BaseException:  # noqa: BLE001, S110 - its class may do anything
        pass
    kind = type(error)
    body = {"__module__": _module_of(kind), "__qualname__": _QUALNAME.__get__(kind)}
    made: type[StandIn] = type(_NAME.__get__(kind), (StandIn,), body)
    return made(shortened(text_of(error))).with_traceback(error.__traceback__)


def text_of(error: BaseException) -> str:
    """The text of any exception, also of one that has none."""
    try:
        return str.__str__(str(error))
    except BaseException as problem:  # noqa: BLE001 - whatever it is, it says that there is no text
        return f"(it has no text: __str__ raised {described(problem)})"


def kind_of(error: BaseException) -> str:
    """The name of an exception's class, whatever its metaclass makes of it."""
    name: str = _NAME.__get__(type(error))
    return name


def described(error: BaseException) -> str:
    """The class of an exception and the first line of its text, on one line.

    Examples:
        >>> described(ValueError("no stock")), described(SystemExit())
        ('ValueError: no stock', 'SystemExit')
    """
    try:
        lines = str.__str__(str(error))[:LONGEST_ERROR].splitlines()
    except BaseException:  # noqa: BLE001
        lines = []
    return ": ".join([kind_of(error), *(shortened(line, 1000) for line in lines[:1] if line)])


def told(error: BaseException) -> str:
    """The traceback of any exception."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001
        return f"{''.join(traceback.format_tb(error.__traceback__))}{kind_of(error)}: {text_of(error)}"


def _is_told(error: Exception) -> bool:
    """True if Oban can tell of it, and in moderate length."""
    try:
        length = max(16 * len(str(error)), len("".join(traceback.format_exception(error))))
        return type(type(error).__name__) is str and length <= MOST
    except BaseException:  # noqa: BLE001 - __str__ may even exit
        return False


def _module_of(kind: type) -> str:
    module = _DICT.__get__(kind).get("__module__")
    return storable(module) if isinstance(module, str) else "builtins"
