"""The mypy plugin: checks a flow while its module is type-checked.

```toml
[tool.mypy]
plugins = ["baton_mypy"]
```
"""

from __future__ import annotations

from typing import Final

from baton_mypy.entry import BatonPlugin
from baton_mypy.fingerprint import fingerprint, sources

__all__ = ["plugin"]

__version__: Final = fingerprint(sources())
"""Part of mypy's cache key: a change of a rule invalidates all cached results."""


def plugin(version: str) -> type[BatonPlugin]:
    """The entry point that mypy calls.

    Args:
        version: mypy's version.
    """
    return BatonPlugin
