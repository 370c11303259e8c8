"""Check and register hooks: the functions that are called when a workflow ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import cast

from baton_dsl.reflect import unimportable
from baton_dsl.status import WorkflowStatus
from baton_dsl.step import Step

type Hook = Callable[[WorkflowStatus], object]
"""A hook: a sync or async function that a worker can import by name and calls when a workflow ends."""


def unfit_hook(value: object) -> str | None:
    """Why a value can't be a hook; None if it can."""
    if not isinstance(value, FunctionType):
        return f"the step {value.name!r}" if isinstance(value, Step) else f"{value!r:.60}"
    if reason := unimportable(value):
        return reason
    try:
        inspect.signature(value).bind(None)
    except TypeError:
        return f"{value.__name__}{inspect.signature(value)}"
    return None


_declared: set[tuple[str, str]] = set()


def declare(hooks: Iterable[Hook]) -> None:
    """Register the hooks of a flow."""
    _declared.update(map(_name_of, hooks))


def is_declared(hook: Hook) -> bool:
    """True if a flow of this process uses the function as a hook. A row in the database alone must not make it one."""
    return _name_of(hook) in _declared


def _name_of(hook: Hook) -> tuple[str, str]:
    function = cast("FunctionType", hook)
    return function.__module__, function.__qualname__
