"""The parts for Windows only use what Python has there; the tests don't run on Windows itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.test_without_extras import FLOW
from tests.packaging.conftest import ROOT

ELSEWHERE = """
import os, sys

for name in ("readv", "fork", "O_CLOEXEC", "waitpid", "getuid", "geteuid"):
    delattr(os, name)
sys.modules["fcntl"] = sys.modules["resource"] = sys.modules["pwd"] = None
os.O_BINARY = 0
from baton_lint.cli import main

sys.argv = ["baton-lint", "--jobs", "2", "."]
sys.exit(main())
"""


def test_a_type_checker_finds_nothing_that_windows_does_not_have(tmp_path: Path) -> None:
    parts = ["plugin", *(f"baton_dsl/runtime/{name}.py" for name in ("insert", "workflow", "schema"))]
    command = [sys.executable, "-m", "mypy", "--platform", "win32", "--cache-dir", str(tmp_path), *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_baton_lint_reads_files_without_what_only_posix_has(tmp_path: Path) -> None:
    for number in range(70):  # so many that another process would pay off
        (tmp_path / f"shop{number}.py").write_text(FLOW.replace("def report(orders:", "def report(order:"))
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count('BTN102: step "report" has no upstream or input called "order"') == 70
