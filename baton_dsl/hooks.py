"""Resolve the workers of hooks for Oban: `baton_dsl.hooks.app/flows:tell` is the function `tell` in `app/flows.py`.

See `baton_dsl.steps`, which does the same for steps.
"""

from baton_dsl.runtime.executing.hook_worker import worker_class


def __getattr__(name: str) -> type:
    if ":" not in name:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return worker_class(name)
