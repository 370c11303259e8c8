"""The cache: facts by file content, and findings while nothing has changed."""

from __future__ import annotations

import marshal
import os
import sys

import baton_dsl
from baton_lint.search import sealed
from baton_lint.search.folders import stamp
from baton_lint.search.prefilter import WORD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from baton_lint.search.folders import Stamp
    from baton_lint.search.prefilter import Needle
    from baton_lint.source.facts import FileFacts

FORMAT = 3
"""The version of the format. Increase it with every change of what is stored."""
FOLDER = ".baton_cache"


class Cache:
    """One cache file.

    Attributes:
        stamps: The stamp of every walked file; None for a file that is too new to be trusted.
        digests: The digest of the content of every file that matters.
        facts: The facts, by digest.
        needles: The needles with which the other files were searched.
        outside: Files outside the walked folders that imports led to, with their stamps.
        probes: Paths outside that were looked up, and whether they existed.
        places: Folders with their own pyproject.toml, and the folders from which imports start there.
        report: The findings, valid if nothing has changed.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp | None] = {}
        self.digests: dict[str, bytes] = {}
        self.needles: tuple[Needle, ...] = (WORD,)
        self.outside: dict[str, Stamp] = {}
        self.probes: dict[str, bool] = {}
        self.places: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self.report: bytes | None = None
        self._stored_facts: bytes = b""
        self._facts: dict[bytes, FileFacts] | None = None
        self._stored: sealed.Sealed | None = None
        self._print = b""

    @property
    def facts(self) -> dict[bytes, FileFacts]:
        """Facts by digest; unpacked on first access."""
        if self._facts is None:
            self._facts = marshal.loads(self._stored_facts) if self._stored_facts else {}  # noqa: S302 - sealed by us
        return self._facts

    def keep_facts(self, facts: dict[bytes, FileFacts]) -> None:
        """Replace the facts."""
        self._facts = facts

    @property
    def is_empty(self) -> bool:
        """True if nothing is known of any file."""
        return self._stored is None and not self.stamps

    def knows(self, stamps: dict[str, Stamp | None]) -> bool:
        """Whether no file has changed. The many stamps of a large project are compared at once."""
        return _print_of(stamps) == self._print if self._stored is not None else self.stamps == stamps

    def holds_outside(self) -> bool:
        """Whether nothing outside the walked folders has changed that was read or looked up."""
        for path, known in self.outside.items():
            try:
                if stamp(os.stat(path)) != known:
                    return False
            except OSError:
                return False
        return all((os.path.isdir(path) or os.path.isfile(path)) == there for path, there in self.probes.items())

    # -- the file ---------------------------------------------------------------------------------------------

    @staticmethod
    def load(path: str, key: str) -> Cache:
        """Load the cache from a file; an empty one if there is none, or it has another key."""
        cache = Cache()
        stored = sealed.read(path)
        if stored is None:
            return cache
        head = marshal.loads(stored.head)  # noqa: S302 - sealed by us
        if head[0] == key:
            _, cache.outside, cache.probes, cache.places, cache.report, cache._print = head
            cache._stored = stored
        return cache

    def unpack(self) -> None:
        """Unpack what the cache stores about single files, which a run without any change does not need."""
        if self._stored is not None:
            body = self._stored.body()
            if body is not None:
                self.stamps, self.digests, self.needles, self._stored_facts = marshal.loads(body)  # noqa: S302 - the same
            self._stored = None

    def save(self, path: str, key: str) -> None:
        """Write the cache. Failures are ignored, because the cache is not needed."""
        try:
            facts = marshal.dumps(self._facts) if self._facts is not None else self._stored_facts
            body = marshal.dumps((self.stamps, self.digests, self.needles, facts))
            head = (key, self.outside, self.probes, self.places, self.report, _print_of(self.stamps))
            sealed.write(path, marshal.dumps(head), body)
        except ValueError:  # nested too deeply
            return


def _print_of(stamps: dict[str, Stamp | None]) -> bytes:
    """Serialize stamps so that equal ones in the same order give equal bytes: without marshal's references."""
    return sealed.digest(marshal.dumps(stamps, 2))


def key_of(version: str, settings: tuple[object, ...]) -> str:
    """The key of a cache, which must be equal for it to be used: our version, Python's, our own code, the settings."""
    return repr((FORMAT, version, sys.version, _own_code(), settings))


_ROOMS = ("source", "program", "search", "fixes")
"""The folders whose code determines what is cached: facts, findings and their fixes."""


def _own_code() -> tuple[tuple[str, int, int], ...]:
    """The stamps of our own modules, so that an edit of a rule invalidates the cache."""
    package = os.path.dirname(os.path.dirname(__file__))
    core = os.path.join(os.path.dirname(str(baton_dsl.__file__)), "core")
    folders = [package, core, *(os.path.join(package, room) for room in _ROOMS), os.path.join(core, "rules")]
    found: list[tuple[str, int, int]] = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        status = entry.stat()
                        found.append((entry.name, status.st_mtime_ns, status.st_size))
        except OSError:
            continue
    return tuple(sorted(found))
