"""Resolve the workers of steps for Oban: `baton_dsl.steps.app/flows:charge` is the step `charge` in `app/flows.py`.

Oban imports a worker's module by the part of its name before the last dot, and takes what follows from the module; it
must be a class. A step is a function, so this module makes the class when it is asked for (PEP 562). Every step has a
name of its own in Oban Web and in telemetry, and `oban start` alone can run it.
"""

from baton_dsl.runtime.executing.worker import worker_class


def __getattr__(name: str) -> type:
    if ":" not in name:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return worker_class(name)
