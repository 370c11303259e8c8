"""Convert between functions and the names by which workers find them, such as `app/flows:charge`.

Oban reads the part of a worker's name after the last dot as a class, and the part before it as its module. So such a
name has no dots.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from baton_dsl.errors import StepNotFoundError
from baton_dsl.runtime.values.raised import described, text_of

MAIN: Final = "__main__"
SCRIPTS: Final = frozenset([MAIN, "__mp_main__"])
"""The module names of a script, here and in the children of multiprocessing: in other processes, another file."""


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function. A module run with `python -m` goes by its real name."""
    module = function.__module__
    if module == MAIN:
        spec = getattr(sys.modules[MAIN], "__spec__", None)
        module = spec.name if spec is not None else module
    return f"{module}:{function.__qualname__}".replace(".", "/")


def is_of_a_script(function: Callable[..., Any]) -> bool:
    """True if a function is defined in a script, so that no other process can import it by name."""
    return module_of(name_of(function)) in SCRIPTS


def module_of(name: str) -> str:
    """The module of a name: `app.flows`."""
    return name.partition(":")[0].replace("/", ".")


def _remedy(module: str, error: BaseException) -> str | None:
    """What to do if a module was not found though it is in the current folder, which `oban start` does not look in."""
    package = module.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or error.name != package:
        return None
    if not any(Path(found).exists() for found in (f"{package}.py", package)):
        return None
    return "it is in the current folder, which is not on the import path: set PYTHONPATH=., or run baton worker there"


def find(name: str, kind: str) -> object:
    """Import the object of a name.

    Args:
        name: A name from `name_of`.
        kind: `step` or `hook`, for the message.

    Raises:
        StepNotFoundError: BTN501, if its module can't be imported here or has no such name.
    """
    module, _, attribute = name.replace("/", ".").partition(":")
    try:
        found: object = importlib.import_module(module)
    except (Exception, SystemExit, GeneratorExit) as error:  # importing runs the module, which may raise anything
        reason = text_of(error) if isinstance(error, ImportError) else described(error)
        raise StepNotFoundError(
            f'module "{module}" of {kind} "{attribute}" can\'t be imported: {reason}', remedy=_remedy(module, error)
        ) from error
    try:
        return functools.reduce(getattr, attribute.split("."), found)
    except AttributeError as error:
        if module in SCRIPTS:
            raise StepNotFoundError(
                f'{kind} "{attribute}" is of a script, which ran as "{module}": no worker can import it',
                remedy="move it to a module; or run the script with python -m, so that it has a name, and insert anew",
            ) from error
        raise StepNotFoundError(f'module "{module}" has no {kind} "{attribute}"') from error
