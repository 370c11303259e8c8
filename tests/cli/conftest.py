"""Commands that are run in this process, on a fresh database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from baton_dsl.cli.main import run

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
