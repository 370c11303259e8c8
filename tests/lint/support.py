"""How the tests run baton-lint: in this process, through its command line."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from baton_lint import cli


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> Outcome:
    """Run baton-lint in a folder, in one process: pytest's own threads must not be forked."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        inside(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
    ):
        status = cli.main([*arguments, *(() if arguments[:1] in (("rules",), ("explain",)) else ("--jobs", "1"))])
    return Outcome(status, output.getvalue(), errors.getvalue())


def lint(folder: Path, *arguments: str) -> list[str]:
    """The lines that baton-lint prints for a folder, without a cache."""
    return run(folder, "--no-cache", *arguments).lines


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
