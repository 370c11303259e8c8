"""Names by which workers find functions: `app/flows:charge` for `charge` in `app/flows.py`, and back.

Oban takes what follows the last dot of a worker's name for a class, and what is before it for its module; so such a
name has no dots.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

from baton_dsl.errors import StepNotFoundError


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function. A module run with `python -m` goes by its real name."""
    module = function.__module__
    if module == "__main__":
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec is not None else module
    return f"{module}:{function.__qualname__}".replace(".", "/")


def module_of(name: str) -> str:
    """The module that a name says: `app.flows`."""
    return name.partition(":")[0].replace("/", ".")


def find(name: str, kind: str) -> object:
    """What has that name.

    Args:
        name: As `name_of` gives it.
        kind: What it should be, for the message: a step, or a hook.

    Raises:
        StepNotFoundError: BTN501, if its module can't be imported here or has no such name.
    """
    module, _, attribute = name.replace("/", ".").partition(":")
    try:
        found: object = importlib.import_module(module)
    except Exception as error:  # importing runs the module, which may raise anything
        reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise StepNotFoundError(f'module "{module}" of {kind} "{attribute}" can\'t be imported: {reason}') from error
    try:
        return functools.reduce(getattr, attribute.split("."), found)
    except AttributeError as error:
        raise StepNotFoundError(f'module "{module}" has no {kind} "{attribute}"') from error
