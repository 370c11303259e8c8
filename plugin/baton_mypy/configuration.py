"""Read `[tool.baton]` from pyproject.toml, without checking it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FILE: Final = "pyproject.toml"
_MARK: Final = b"tool.baton"


def configured(config_file: str | None) -> tuple[str, Mapping[str, Any]]:
    """The table and its file: beside mypy's configuration, or else in the current directory.

    Args:
        config_file: mypy's configuration file, if it has one.

    Returns:
        The path of the file, and the table, which is empty if there is none.
    """
    path = (Path(config_file).parent if config_file else Path()) / _FILE
    try:
        content = path.read_bytes()
    except OSError:
        return str(path), {}
    if _MARK not in content:
        return str(path), {}
    return str(path), _table(content)


def _table(content: bytes) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(content.decode()).get("tool", {}).get("baton", {})
    except ValueError:  # mypy itself reports a file that is not TOML
        return {}
    return table if isinstance(table, dict) else {}
