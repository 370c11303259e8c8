"""Record which other files were read for the findings of a module: if they change, mypy's cache of it is stale.

mypy checks a module again when the interface of an imported module changes, but the metadata of an alias is not part of
an interface. So the plugin's data in the cache of a module has a hash of each file whose text was read for it.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from mypy.nodes import GDEF, MypyFile, SymbolTableNode, Var

_READS: Final = "reads "
_TELLING: Final = (b"Annotated", b"TYPE_CHECKING", b"serializer", b"validator", b"exclude")
"""Words in a text that matter to us but are not part of a module's interface."""
_read: dict[str, dict[str, None]] = {}


def reads(module: str, path: str) -> None:
    """Record that the findings of a module depend on the text of a file."""
    _read.setdefault(module, {})[path] = None


def metadata(path: str) -> str:
    """A hash of a file if its text contains one of these words; otherwise empty."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return ""
    return blake2b(content, digest_size=8).hexdigest() if any(word in content for word in _TELLING) else ""


def mark(module: MypyFile, digest: str) -> None:
    """Add a symbol with an impossible name to a module, so that the daemon notices changes of the metadata."""
    variable = Var(f"_baton {digest}")
    variable._fullname = f"{module.fullname}.{variable.name}"  # noqa: SLF001 - as all plugins of mypy do
    variable.is_ready = True
    module.names[variable.name] = SymbolTableNode(GDEF, variable, module_public=False, plugin_generated=True)


def written(module: str, codes: list[str]) -> list[str]:
    """What the cache of a module depends on besides its source.

    Args:
        module: The module.
        codes: The selected rules.
    """
    return [*codes, *(f"{_READS}{_hash(path)} {path}" for path in _read.pop(module, ()))]


class Expected(list[str]):
    """Equals the data in a cache if it has the same rules and no file that was read has changed."""

    def __eq__(self, stored: object) -> bool:
        if not isinstance(stored, list):
            return False
        files = [item for item in stored if item.startswith(_READS)]
        if [item for item in stored if not item.startswith(_READS)] != [*self]:
            return False
        return all(item == f"{_READS}{_hash(path)} {path}" for item in files if (path := item.split(" ", 2)[2]))

    def __ne__(self, stored: object) -> bool:
        return not self == stored


def _hash(path: str) -> str:
    try:
        status = Path(path).stat()
        return _hash_of(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return "none"


@cache  # many modules use the same models
def _hash_of(path: str, mtime: int, size: int) -> str:
    return blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
