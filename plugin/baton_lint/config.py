"""`[tool.baton]` of pyproject.toml. What is wrong there is told in a sentence, and the rest of it still holds."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MARKERS = ("pyproject.toml", ".git", "setup.cfg", "setup.py")
"""What the root of a project holds."""


class Config:
    """What a project chose.

    Attributes:
        root: The folder of `pyproject.toml`, or else of the repository.
        problems: What is wrong with it, a sentence each.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.select: list[str] | None = None
        self.extend_select: list[str] = []
        self.ignore: list[str] = []
        self.exclude: list[str] = []
        self.src: list[str] = []
        self.per_file_ignores: dict[str, list[str]] = {}
        self.strict = False
        self.problems: list[str] = []

    @staticmethod
    def of(root: str) -> Config:
        """The configuration of the project at a folder."""
        config = Config(root)
        path = os.path.join(root, "pyproject.toml")
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return config
        except OSError as error:
            config.problems.append(f"{path}: can't be read: {error.strerror or error}")
            return config
        if b"baton" in data:
            config._read(path, data)
        return config

    def _read(self, path: str, data: bytes) -> None:
        import tomllib  # most projects have no [tool.baton], and need not wait for it

        try:
            tool = tomllib.loads(data.decode()).get("tool", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            self.problems.append(f"{path}: is no valid TOML: {error}")
            return
        table = tool.get("baton", {}) if isinstance(tool, dict) else {}
        if not isinstance(table, dict):
            self.problems.append(f"{path}: tool.baton must be a table, got {_show(table)}")
            return
        for key, value in table.items():
            if key not in _EXPECTED:
                self.problems.append(f'{path}: [tool.baton] has no key "{key}"; the keys are {", ".join(_EXPECTED)}')
            elif not _EXPECTED[key][1](value):
                self.problems.append(f"{path}: [tool.baton] {key} must be {_EXPECTED[key][0]}, got {_show(value)}")
            else:
                setattr(self, key.replace("-", "_"), value)


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _table_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(_texts(item) for item in value.values())


_EXPECTED = {
    "select": ("a list of rules", _texts),
    "extend-select": ("a list of rules", _texts),
    "ignore": ("a list of rules", _texts),
    "exclude": ("a list of patterns", _texts),
    "src": ("a list of folders", _texts),
    "per-file-ignores": ("a table of lists of rules by pattern", _table_of_texts),
    "strict": ("true or false", lambda value: isinstance(value, bool)),
}


def root_of(path: str) -> str:
    """The project that a path belongs to: the nearest folder above with a marker, else the folder itself."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    start = folder
    while True:
        if any(os.path.exists(os.path.join(folder, marker)) for marker in MARKERS):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return start
        folder = above


def matcher(patterns: Sequence[str], root: str) -> Callable[[str], bool]:
    """A test of paths: a pattern fits a path below the root, any folder above it, or a name."""
    from fnmatch import translate  # only for those who give patterns
    from re import compile as pattern_of

    tests = [pattern_of(translate(pattern.rstrip("/"))).match for pattern in patterns]

    def fits(path: str) -> bool:
        relative = os.path.relpath(path, root)
        parts = relative.split(os.sep)
        candidates = [os.sep.join(parts[: count + 1]) for count in range(len(parts))]
        return any(test(candidate) for test in tests for candidate in (*candidates, *parts))

    return fits
