"""mypy on 2,000 steps in 200 flows over 200 modules, with the plugin and without.

Everything is CPU time, and the two take turns, each first in every other round. Compared are the least of all rounds:
other work on the machine can only add to what a process needs, and adds up to a third. The plugin's bytecode is kept,
whatever the environment says: mypy is compiled, and a library that pip installed has its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.processes import Cost, cost, cpu_row, in_turns, with_bytecode
from tests.benchmarks.report import Row

MODULES = 200
STEPS = 10
ROUNDS = 7
CHANGES = 20
"""In one measurement of the daemon, whose CPU time Linux counts in hundredths of a second."""
GOAL = "1.03"

_HEAD = """\
from pydantic import BaseModel

from baton_dsl import Flow, Input, step


class Order(BaseModel):
    total: int
    lines: list[str]


@step(queue="shop", max_attempts=3)
async def first_{module}(region: Input[str], limit: Input[int] = 10) -> list[Order]:
    return [Order(total=limit, lines=[region])]
"""
_STEP = """

@step
{kind} step_{module}_{number}({before}: {given}, first_{module}: list[Order]) -> {result}:
    found: dict[str, int] = {{}}
    for order in first_{module}:
        for line in order.lines:
            found[line] = found.get(line, 0) + order.total
    return {value}
"""
_TYPES = (
    ("dict[str, int]", "found"),
    ("list[Order]", "[order for order in first_{module} if order.total in found.values()]"),
)


def run() -> list[Row]:
    """Cold, warm and after a change by CPU time of the whole process; a change under dmypy by that of the daemon."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        without, plugged = Path(folder, "without"), Path(folder, "plugged")
        _write(without, "")
        _write(plugged, "plugins = baton_mypy\n")
        for project in (without, plugged):
            _warm(project)
        return [
            _row("cold", lambda: _cold(plugged), lambda: _cold(without)),
            _row("warm", lambda: _warm(plugged), lambda: _warm(without)),
            _row("one module changed", lambda: _changed(plugged), lambda: _changed(without)),
            _daemons(plugged, without),
        ]


def _row(work: str, measure_plugged: Callable[[], Cost], measure_without: Callable[[], Cost]) -> Row:
    plugged, without = in_turns(ROUNDS, measure_plugged, measure_without)
    return cpu_row(
        f"mypy on {MODULES * STEPS:,} steps in {MODULES} flows, {work}", plugged, "without", without, goal=GOAL
    )


def _write(folder: Path, plugins: str) -> None:
    folder.mkdir()
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{plugins}", encoding="utf-8")
    for module in range(MODULES):
        parts = [_HEAD.format(module=module)]
        steps = [f"first_{module}"]
        given = "list[Order]"
        for number in range(1, STEPS):
            result, value = _TYPES[number % 2]
            parts.append(
                _STEP.format(
                    kind="async def" if number % 3 else "def",
                    module=module,
                    number=number,
                    before=steps[-1] if number > 1 else "region",
                    given=given if number > 1 else "Input[str]",
                    result=result,
                    value=value.format(module=module),
                )
            )
            steps.append(f"step_{module}_{number}")
            given = result
        parts.append(f'\n\nflow_{module} = Flow("flow_{module}", {", ".join(steps)})\n')
        (folder / f"flows_{module}.py").write_text("".join(parts), encoding="utf-8")


def _mypy(folder: Path, *arguments: str) -> Cost:
    command = [sys.executable, "-m", "mypy", *arguments, "."]
    return cost(*command, folder=folder, environment=_environment(folder), statuses=(0,))


def _environment(folder: Path) -> dict[str, str]:
    return with_bytecode(folder.parent / "bytecode")


def _cold(folder: Path) -> Cost:
    return _mypy(folder, f"--cache-dir={os.devnull}")


def _warm(folder: Path) -> Cost:
    if not (folder / ".mypy_cache").exists():
        _mypy(folder)
    return _mypy(folder)


def _changed(folder: Path) -> Cost:
    _touch(folder)
    return _mypy(folder)


def _touch(folder: Path) -> None:
    """Change a module so that mypy sees it: it compares size and whole seconds."""
    path = folder / "flows_7.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def _daemons(plugged: Path, without: Path) -> Row:
    with _daemon(plugged) as check_plugged, _daemon(without) as check_without:
        return _row("one module changed under dmypy", check_plugged, check_without)


@contextmanager
def _daemon(folder: Path) -> Iterator[_Check]:
    """A daemon that has checked everything once."""
    check = _Check(folder)
    check.ask("start", "--", "--cache-dir", os.devnull)
    try:
        check.ask("check", ".")
        yield check
    finally:
        check.ask("stop")


class _Check:
    """Changes, and the CPU seconds that the daemon takes to check each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "mypy.dmypy", "--status-file", "status.json", *arguments]
        subprocess.run(
            command,
            cwd=self._folder,
            env=_environment(self._folder),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __call__(self) -> Cost:
        before, start = self._used(), time.perf_counter()
        for _ in range(CHANGES):
            _touch(self._folder)
            self.ask("check", ".")
        return Cost((time.perf_counter() - start) / CHANGES, (self._used() - before) / CHANGES)

    def _used(self) -> float:
        """CPU seconds of the daemon so far, as Linux counts them."""
        daemon = json.loads((self._folder / "status.json").read_text(encoding="utf-8"))["pid"]
        fields = Path(f"/proc/{daemon}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
