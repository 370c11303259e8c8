"""Turn whatever a function raised into an error that Oban can store.

Oban needs the text of each exception and the name of its class, and stores the traceback. If it can't get them, it
can't end the attempt, and the job would seem to run for ever. The same would happen with an error of many megabytes.
"""

from __future__ import annotations

import traceback
from typing import Any, Final

from baton_dsl.core.wording import LONGEST_ERROR, shortened, storable

MOST: Final = 16 * LONGEST_ERROR
"""The most characters of a traceback that Oban may format. It is cut to `LONGEST_ERROR` before it is stored."""

_NAME: Final[Any] = type.__dict__["__name__"]
_QUALNAME: Final[Any] = type.__dict__["__qualname__"]
_DICT: Final[Any] = type.__dict__["__dict__"]  # access without the metaclass


class StandIn(Exception):  # noqa: N818 - its subclasses have the names of the replaced exceptions
    """Replaces an exception that Oban can't store. Each replacement's class has the name of the original class."""


def tellable(error: Exception) -> Exception:
    """Return an exception that Oban can store: the same one if possible.

    Examples:
        >>> class Mistaken(Exception):
        ...     def __str__(self) -> str:
        ...         return "failed with %s: %s" % self.args
        >>> error = tellable(Mistaken(7))
        >>> print(f"{type(error).__name__}: {error}")
        Mistaken: (it has no text: __str__ raised TypeError: not enough arguments for format string)
    """
    if _is_storable(error):
        return error
    try:
        error.__cause__, error.__suppress_context__ = None, True
        error.add_note("(Its cause is left out: it can't be stored, or is too long.)")
        if _is_storable(error):
            return error
    except BaseException:  # noqa: BLE001, S110 - its class may raise anything
        pass
    kind = type(error)
    body = {"__module__": _module_of(kind), "__qualname__": _QUALNAME.__get__(kind)}
    made: type[StandIn] = type(_NAME.__get__(kind), (StandIn,), body)
    return made(shortened(text_of(error))).with_traceback(error.__traceback__)


def text_of(error: BaseException) -> str:
    """The text of any exception, even if its `__str__` fails."""
    try:
        return str.__str__(str(error))
    except BaseException as problem:  # noqa: BLE001 - `__str__` may raise anything
        return f"(it has no text: __str__ raised {described(problem)})"


def kind_of(error: BaseException) -> str:
    """The name of an exception's class, without using its metaclass."""
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


def traceback_of(error: BaseException) -> str:
    """The traceback of any exception."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001
        return f"{''.join(traceback.format_tb(error.__traceback__))}{kind_of(error)}: {text_of(error)}"


def _is_storable(error: Exception) -> bool:
    """True if Oban can store it, and it is not too long."""
    try:
        length = max(16 * len(str(error)), len("".join(traceback.format_exception(error))))
        return type(type(error).__name__) is str and length <= MOST
    except BaseException:  # noqa: BLE001 - __str__ may even exit
        return False


def _module_of(kind: type) -> str:
    module = _DICT.__get__(kind).get("__module__")
    return storable(module) if isinstance(module, str) else "builtins"
