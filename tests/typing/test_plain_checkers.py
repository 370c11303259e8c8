"""The verdicts of plain type checkers, without a plugin, on the DSL."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = [HERE / name for name in ("errors.py", "surface.py", "sync_any.py")]
MARK = re.compile(r"# error(?:, which (?P<blind>\w+) does not see)?$")
PYTHON = sys.executable
COMMANDS = {
    "mypy": ["mypy", "--strict", "--config-file=", "--no-error-summary"],
    "pyright": ["pyright", "--pythonpath", PYTHON],
    "ty": ["ty", "check", "--output-format", "concise", "--python", PYTHON],
    "pyrefly": ["pyrefly", "check", "--output-format", "min-text", "--python-interpreter-path", PYTHON],
}
STRICT = "# pyright: strict, reportPrivateUsage=false\n"
FOUND = re.compile(r"(?P<file>\w+)\.py:(?P<line>\d+)(?::\d+(?:-\d+)?)?:?(?: - error| error|\s)")


def marked(checker: str) -> set[tuple[str, int]]:
    lines: set[tuple[str, int]] = set()
    for path in CASES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=2):  # below a heading
            match = MARK.search(line)
            if match and match["blind"] != checker:
                lines.add((path.stem, number))
    return lines


@pytest.mark.parametrize(
    "checker",
    [
        pytest.param("mypy"),
        *(pytest.param(name, marks=pytest.mark.typecheckers) for name in ("pyright", "ty", "pyrefly")),
    ],
)
def test_a_checker_finds_an_error_on_each_marked_line_and_nowhere_else(checker: str, tmp_path: Path) -> None:
    for path in CASES:
        (tmp_path / path.name).write_text(STRICT + path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pyrefly.toml").write_text('preset = "strict"\n', encoding="utf-8")
    command, *flags = COMMANDS[checker]
    names = sorted(path.name for path in tmp_path.glob("*.py"))
    program = str(Path(PYTHON).with_name(command))
    run = subprocess.run([program, *flags, *names], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {(match["file"], int(match["line"])) for match in FOUND.finditer(run.stdout)}
    assert found == marked(checker), run.stdout + run.stderr
