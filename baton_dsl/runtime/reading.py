"""The old module of `read` and `read_sync` of `baton_dsl.runtime.database`. The next minor release removes it."""

import warnings

from baton_dsl.runtime import database


def __getattr__(name: str) -> object:
    if name not in ("read", "read_sync"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"import {name} from baton_dsl.runtime.database", DeprecationWarning, stacklevel=2)
    return getattr(database, name)
