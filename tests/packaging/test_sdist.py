"""The sdist contains everything needed to build, install and test it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, built, run


def tracked() -> set[str]:
    """The files of the clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: there is no history that says which files belong to it")
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in told.split("\0") if name and (ROOT / name).is_file()}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_sdist_holds_what_a_clone_holds(sdist: Path) -> None:
    assert files(sdist) == tracked() | {"PKG-INFO"}


def test_the_wheel_of_an_sdist_is_that_of_the_clone(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    again = built("wheel", sdist, tmp_path)
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert {it.filename: it.CRC for it in one.infolist()} == {it.filename: it.CRC for it in other.infolist()}


def test_an_sdist_tests_itself(sdist: Path, tmp_path: Path) -> None:
    """A part of `make test`, which is too long for here, on its own code in place of that of this clone."""
    folder = tmp_path / "unpacked"
    shutil.copytree(sdist, folder)
    path = f"{folder}:{folder / 'plugin'}"
    script = "import baton_dsl, baton_lint; print(baton_dsl.__file__, baton_lint.__file__)"
    assert run(sys.executable, "-c", script, cwd=folder, PYTHONPATH=path).stdout.count(str(folder)) == 2
    chosen = ["tests/unit/test_graph.py", "tests/docs/test_pages.py", "tests/cli/test_without_database.py"]
    done = run(sys.executable, "-m", "pytest", "-q", "-x", *chosen, cwd=folder, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lowest_versions_are_those_of_the_package() -> None:
    done = run(sys.executable, ROOT / ".ci" / "lowest", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stderr
