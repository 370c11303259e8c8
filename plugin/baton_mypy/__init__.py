"""The mypy plugin: a flow proven while its module is type-checked.

```toml
[tool.mypy]
plugins = ["baton_mypy"]
```
"""

from __future__ import annotations

from baton_mypy.hooks import BatonPlugin

__all__ = ["plugin"]


def plugin(version: str) -> type[BatonPlugin]:
    """What mypy calls to get the plugin.

    Args:
        version: mypy's version.
    """
    return BatonPlugin
