"""mypy with the plugin, run in this process on small projects, from a cache that knows the libraries already."""

from __future__ import annotations

import gc
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mypy import api
from mypy.dmypy_server import Server
from mypy.main import process_options

CONFIG = """\
[mypy]
plugins = baton_mypy
strict = True
show_column_numbers = True
local_partial_types = True
mypy_path = {stubs}
"""

DRIVERS = (
    *("oban", "oban._executor", "oban._extensions", "oban._query", "oban.oban", "oban.schema", "rich", "rich.pretty"),
    *("psycopg", "psycopg.conninfo", "psycopg.rows", "psycopg.sql", "psycopg.types", "psycopg.types.json"),
    *("psycopg_pool", "sqlalchemy", "sqlalchemy.dialects", "sqlalchemy.dialects.postgresql"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.engine", "sqlalchemy.pool", "sqlalchemy.sql"),
    *("sqlalchemy.ext", "sqlalchemy.ext.asyncio", "sqlalchemy.orm"),
)
"""What the runtime imports. Its types have no part in a flow, and loading them would be most of the time."""

CONNECTIONS = {
    "psycopg": ("Connection(Generic[Row])", "AsyncConnection(Generic[Row])"),
    "sqlalchemy": ("Connection",),
    "sqlalchemy.orm": ("Session", "scoped_session"),
    "sqlalchemy.ext.asyncio": ("AsyncConnection", "AsyncSession", "async_scoped_session"),
}
"""But for the classes that a step may take."""

_LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<rest>.*)")


def write_stubs(folder: Path) -> None:
    """Write stubs of the drivers in which every name is `Any`."""
    for module in DRIVERS:
        path = folder.joinpath(*module.split("."))
        path.mkdir(parents=True, exist_ok=True)
        text = "from typing import Any, Generic\nfrom typing_extensions import TypeVar\n"
        text += 'Row = TypeVar("Row", default=Any)\ndef __getattr__(name: str) -> Any: ...\n'
        for name in CONNECTIONS.get(module, ()):
            text += f"class {name}:\n    def __getattr__(self, name: str) -> Any: ...\n"
        (path / "__init__.pyi").write_text(text, encoding="utf-8")


@dataclass
class Project:
    """A folder of modules that mypy checks again and again.

    Args:
        folder: An empty folder.
        stubs: Stubs that hide packages.
        warm: A cache of mypy to begin with, or None to begin without.
    """

    folder: Path
    stubs: Path
    warm: Path | None = None
    _clock: int = field(default=1_700_000_000)

    def __post_init__(self) -> None:
        self.config = self.folder / "mypy.ini"
        self.config.write_text(CONFIG.format(stubs=self.stubs), encoding="utf-8")

    def write(self, files: Mapping[str, str]) -> None:
        """Write modules. Each gets a later time than all before: mypy compares whole seconds."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            self._clock += 10
            os.utime(path, (self._clock, self._clock))

    def cache(self, name: str) -> Path:
        """A cache folder of that name, begun with the warm one."""
        path = self.folder / f".cache-{name}"
        if not path.exists() and self.warm is not None:
            shutil.copytree(self.warm, path)
        return path

    def arguments(self, *flags: str, cache: str) -> list[str]:
        """mypy's arguments to check everything in the folder."""
        return [*flags, f"--config-file={self.config}", f"--cache-dir={self.cache(cache)}", *sorted(self._modules())]

    def check(self, *flags: str, cache: str = "default") -> str:
        """What mypy says of everything in the folder, without the folder's own path."""
        return self._short(_said(self.arguments(*flags, cache=cache)))

    def check_only(self, paths: Iterable[str], *, cache: str = "default") -> str:
        """What mypy says of some files, with whole paths."""
        return _said([f"--config-file={self.config}", f"--cache-dir={self.cache(cache)}", *paths])

    def daemon(self, *, cache: str | None = None) -> Daemon:
        """A daemon for this project, in this process; with a cache it starts from that."""
        return Daemon(self, cache)

    def _modules(self) -> Iterable[str]:
        return (str(path) for path in self.folder.rglob("*.py") if self.stubs not in path.parents)

    def _short(self, output: str) -> str:
        lines = output.replace(f"{self.folder}/", "").splitlines()
        return "\n".join(line for line in lines if not line.startswith(("Found ", "Success: ")))


def _said(arguments: list[str]) -> str:
    """What a run of mypy says. It lets garbage lie, and would keep on doing so."""
    threshold = gc.get_threshold()
    try:
        out, err, _ = api.run(arguments)
    finally:
        gc.set_threshold(*threshold)
    return err + out


class Daemon:
    """dmypy's server, without the process around it."""

    def __init__(self, project: Project, cache: str | None) -> None:
        self._project = project
        flags = ["--use-fine-grained-cache"] if cache else ["--cache-dir=/dev/null"]
        _, options = process_options([*project.arguments(cache=cache or "unused"), *flags], server_options=True)
        self._server = Server(options, str(project.folder / "status.json"))

    def check(self) -> str:
        """What the daemon says now."""
        sources, _ = process_options(self._project.arguments(cache="unused"), server_options=True)
        answer = self._server.check(sources, export_types=False, is_tty=False, terminal_width=-1)
        return self._project._short(str(answer["out"]) + str(answer["err"]))


@dataclass(frozen=True)
class Prepared:
    """What every project begins with."""

    stubs: Path
    cache: Path

    def project(self, folder: Path) -> Project:
        """A project in an empty folder."""
        return Project(folder, self.stubs, self.cache)


def findings(output: str) -> dict[str, list[str]]:
    """The lines of mypy's output by file, without the file."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        if match := _LINE.match(line):
            found.setdefault(match["file"], []).append(f"{match['line']}:{match['column']}: {match['rest']}")
    return found
