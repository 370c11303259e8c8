"""The code of an earlier version, to run beside that of today on one database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = "b0df4e9"
"""The last commit whose schema is of version 1."""

SHOP = """
from baton_dsl import Each, Flow, Input, step

@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))

@step
async def squares(numbers: Each[int]) -> int:
    return numbers * numbers

@step
def total(squares: list[int]) -> int:
    return sum(squares)

@step
def greet(names: Each[Input[str]]) -> str:
    return f"hello {names}"

@step
def letter(greet: list[str]) -> str:
    return ", ".join(greet)

summing = Flow("summing", numbers, squares, total)
greeting = Flow("greeting", greet, letter)
"""


@dataclass(frozen=True)
class Code:
    """A version of the library, with the flows of `SHOP`.

    Attributes:
        folder: Where it lies; None for that of today.
        shop: The folder of the module with the flows.
    """

    folder: Path | None
    shop: Path

    def run(self, *arguments: str) -> str:
        """Run Python with that version, and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.shop,  # Python looks there first
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def insert(self, dsn: str, number: int) -> list[str]:
        """Insert workflows of both flows; returns their ids."""
        script = (
            "import psycopg, shop\n"
            f"with psycopg.connect({dsn!r}, autocommit=True) as conn:\n"
            f"    for i in range({number}):\n"
            "        print(shop.summing.insert(conn, count=i).id)\n"
            "        print(shop.greeting.insert(conn, names=['a', 'b'][:i]).id)\n"
        )
        return self.run("-c", script).split()

    @contextmanager
    def worker(self, dsn: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of that version."""
        command = [sys.executable, "-m", "baton_dsl.cli", "worker", "shop", "--dsn", dsn, "--queues", "default:5"]
        with subprocess.Popen(command, cwd=self.shop, env=self._environment, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()

    @property
    def _environment(self) -> dict[str, str]:
        path = [self.shop, *([self.folder] if self.folder else [ROOT])]
        return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}


def code_of(commit: str, folder: Path) -> Path:
    """The package as it was in a commit, in a folder of its own."""
    try:
        subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"commit {commit} is not in the history that is here")
    archive = subprocess.run(["git", "archive", commit, "baton_dsl"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder
