"""Compute a version that changes with everything that the plugin's findings depend on; mypy keeps it with its cache.

mypy drops its cache when a plugin's own module or its `__version__` changes, but rules are in other modules. So the
version includes a hash of every file that can change a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import baton_dsl
from baton_dsl.version import __version__


def sources() -> list[Path]:
    """The files of the rules and of the plugin."""
    core = Path(baton_dsl.__file__).parent / "core"
    plugin = Path(__file__).parent
    return [path for folder in (core, plugin) for path in sorted(folder.rglob("*.py"))]


def fingerprint(paths: Iterable[Path]) -> str:
    """The library's version, followed by a hash of some files.

    Args:
        paths: The files, in an order that does not depend on the machine.
    """
    digest = blake2b(digest_size=8)
    for path in paths:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"
