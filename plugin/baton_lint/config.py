"""Read `[tool.baton]` of pyproject.toml. Mistakes in it are reported, and the rest of it still applies.

In a monorepo, only the nearest pyproject.toml with such a table applies to a file. Nothing is inherited from those in
outer folders, as with ruff.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FILE = "pyproject.toml"
MARKERS = (FILE, ".git", "setup.cfg", "setup.py")
"""Files and folders that mark the root of a project."""
LARGEST = 1 << 24
"""The most bytes of a pyproject.toml."""


class Config:
    """The configuration of a project.

    Attributes:
        root: The folder to which its patterns and folders are relative.
        is_chosen: False if there is no `[tool.baton]`, so that all defaults apply.
        problems: What is wrong with it, one sentence each.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.is_chosen = False
        self.select: list[str] | None = None
        self.extend_select: list[str] = []
        self.ignore: list[str] = []
        self.exclude: list[str] = []
        self.src: list[str] = []
        self.per_file_ignores: dict[str, list[str]] = {}
        self.strict = False
        self.problems: list[str] = []

    @property
    def path(self) -> str:
        """The path of its file."""
        return os.path.join(self.root, FILE)

    @property
    def sources(self) -> tuple[str, ...]:
        """The absolute paths of the folders in `src`."""
        return tuple([os.path.normpath(os.path.join(self.root, folder)) for folder in self.src])

    @staticmethod
    def of(root: str) -> Config:
        """The configuration in the pyproject.toml of a folder."""
        config = Config(root)
        try:
            data = _content(config.path)
        except (FileNotFoundError, NotADirectoryError):
            return config
        except OSError as error:
            config._wrong(f"can't be read: {error.strerror or error}")
            return config
        if b"baton" in data:
            config._read(data)
        return config

    def _read(self, data: bytes) -> None:
        import tomllib  # imported here because most projects have no [tool.baton]

        try:
            tool = tomllib.loads(data.decode()).get("tool", {})
        except (ValueError, RecursionError) as error:  # errors of tomllib, of UTF-8, and of numbers that are too long
            self._wrong(f"is not valid TOML: {str(error) if isinstance(error, ValueError) else 'nested too deeply'}")
            return
        if not isinstance(tool, dict) or "baton" not in tool:
            return
        self.is_chosen = True
        table = tool["baton"]
        if not isinstance(table, dict):
            self._wrong(f"tool.baton must be a table, got {_show(table)}")
            return
        for key, value in table.items():
            if key not in _EXPECTED:
                self._wrong(f"[tool.baton] has no key {_named(key)}; the keys are {', '.join(_EXPECTED)}")
            elif not _EXPECTED[key][1](value):
                self._wrong(f"[tool.baton] {key} must be {_EXPECTED[key][0]}, got {_show(value)}")
            else:
                setattr(self, key.replace("-", "_"), value)

    def _wrong(self, sentence: str) -> None:
        self.is_chosen = True  # the intended settings are unknown: report that, and do not use those of another file
        self.problems.append(f"{self.path}: {sentence}")


class Configs:
    """The configuration of each folder."""

    def __init__(self) -> None:
        self._read: dict[str, Config] = {}
        self._of: dict[str, Config] = {}

    def at(self, folder: str) -> Config:
        """The configuration in the folder's own pyproject.toml."""
        if folder not in self._read:
            self._read[folder] = Config.of(folder)
        return self._read[folder]

    def of(self, folder: str) -> Config:
        """The configuration that applies in a folder: the nearest one that sets anything."""
        chain = [folder]
        while True:
            here = chain[-1]
            above = os.path.dirname(here)
            if here in self._of or self.at(here).is_chosen or above == here:
                break
            chain.append(above)
        found = self._of.get(here) or self.at(here)
        self._of.update(dict.fromkeys(chain, found))
        return found

    @property
    def problems(self) -> list[str]:
        """What is wrong with the configurations in use, one sentence each."""
        return [problem for config in self._read.values() for problem in config.problems]


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # opening a named pipe must not block
    with open(descriptor, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(f"it has more than {LARGEST:,} bytes")
    return data or b""


def _named(key: str) -> str:
    return f'"{key}"' if len(key) <= 60 else f'"{key[:57]}..."'


def _show(value: object) -> str:
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # endlessly nested tables; a number of ten thousand digits
        return f"a {type(value).__name__}"
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
    """The root of the project of a path: the nearest outer folder with a marker, or else the folder itself."""
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
    """A function that tests paths: a pattern matches a path below the root, one of its folders, or a name."""
    from fnmatch import translate  # imported only if there are patterns
    from re import compile as pattern_of

    tests = [pattern_of(translate(pattern.removeprefix("./").rstrip("/"))).match for pattern in patterns]

    def fits(path: str) -> bool:
        relative = os.path.relpath(path, root)
        parts = relative.split(os.sep)
        candidates = [os.sep.join(parts[: count + 1]) for count in range(len(parts))]
        return any(test(candidate) for test in tests for candidate in (*candidates, *parts))

    return fits
