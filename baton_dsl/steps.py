"""Resolve the workers of steps for Oban: `baton_dsl.steps.app/flows:charge` is the step `charge` in `app/flows.py`.

Oban imports a worker's module by the part of its name before the last dot, and gets the class by the part after it. A
step is a function, so this module creates the class on access (PEP 562). So every step has its own name in Oban Web and
in telemetry, and even `oban start` can run it.
"""

from baton_dsl.runtime.executing.worker import worker_class


def __getattr__(name: str) -> type:
    if ":" not in name:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return worker_class(name)
