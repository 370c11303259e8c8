"""The packages, built once, and fresh environments to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.packaging)


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, without variables that would lead another Python to this clone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "BATON_", "OBAN_"))}
    return kept | {"PYTHONUTF8": "1"} | more


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )


def done(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    finished = run(*command, cwd=cwd)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@dataclass(frozen=True)
class Environment:
    """A new virtual environment, and an empty folder to work in."""

    folder: Path
    work: Path

    def run(self, program: str, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        return run(self.folder / "bin" / program, *arguments, cwd=self.work, **more)

    def install(self, *requirements: str) -> None:
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint")
        done(self.folder / "bin" / "python", *pip, ROOT / "constraints.txt", *requirements, cwd=self.work)

    def installed(self) -> set[str]:
        script = "import importlib.metadata as it; print(*{each.name.lower() for each in it.distributions()})"
        return set(done(self.folder / "bin" / "python", "-c", script, cwd=self.work).split())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    shutil.unpack_archive(built("sdist", ROOT, folder), folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def built(target: str, source: Path, folder: Path) -> Path:
    """Build one target with the hatchling that is installed here: a build needs no network then."""
    done(sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", folder, cwd=source)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def new_environment() -> Iterator[Callable[[], Environment]]:
    """Makes environments, not below pytest's own folder: see `server`."""
    with ExitStack() as stack:

        def make() -> Environment:
            temporary = tempfile.TemporaryDirectory(prefix="baton-environment-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            venv.create(folder / "venv", with_pip=True, symlinks=True)
            (folder / "work").mkdir()
            return Environment(folder / "venv", folder / "work")

        yield make
