"""Commands that are run in this process, on a fresh database."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from baton_dsl.cli.main import run

type Done = Callable[..., subprocess.CompletedProcess[str]]
type Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def baton(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Run a command in this process: its exit code, standard output and standard error."""
    for name in ("OBAN_DSN", "OBAN_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BATON_DSN", dsn)
    monkeypatch.setenv("COLUMNS", "100")

    def shown(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return shown


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Done:
    """Run a command as `tests.cli.test_on_a_database.baton` does, for what a process of its own adds nothing to."""

    def done(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        for name in [name for name in os.environ if name.startswith(("BATON_", "OBAN_", "NO_COLOR"))]:
            monkeypatch.delenv(name)
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = run(arguments)
        shown, told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, shown, told)

    return done
