"""mypy on 2,000 steps in 200 flows over 200 modules, with the plugin and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.benchmarks.report import Row, medians

MODULES = 200
STEPS = 10
ROUNDS = 3
GOAL = "1.05"

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
    """Cold and warm by CPU time of the whole process, a change under dmypy by the clock."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        without, plugged = Path(folder, "without"), Path(folder, "plugged")
        _write(without, "")
        _write(plugged, "plugins = baton_mypy\n")
        return [
            _row("cold", *medians(ROUNDS, lambda: _cold(plugged), lambda: _cold(without))),
            _row("warm", *medians(ROUNDS, lambda: _warm(plugged), lambda: _warm(without))),
            _row("one module changed", *medians(ROUNDS, lambda: _changed(plugged), lambda: _changed(without))),
            _daemons(plugged, without),
        ]


def _row(work: str, plugged: float, without: float) -> Row:
    return Row(
        work=f"mypy on {MODULES * STEPS:,} steps in {MODULES} flows, {work}",
        measured=f"{plugged:.2f} s with the plugin",
        reference=f"{without:.2f} s without",
        ratio=plugged / without,
        goal=GOAL,
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


def _mypy(folder: Path, *arguments: str) -> float:
    """CPU seconds of one run of mypy."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "mypy", *arguments, "."], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cold(folder: Path) -> float:
    return _mypy(folder, f"--cache-dir={os.devnull}")


def _warm(folder: Path) -> float:
    if not (folder / ".mypy_cache").exists():
        _mypy(folder)
    return _mypy(folder)


def _changed(folder: Path) -> float:
    _touch(folder)
    return _mypy(folder)


def _touch(folder: Path) -> None:
    """Change a module so that mypy sees it: it compares size and whole seconds."""
    path = folder / "flows_7.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def _daemons(plugged: Path, without: Path) -> Row:
    with _daemon(plugged) as check_plugged, _daemon(without) as check_without:
        return _row("one module changed under dmypy", *medians(ROUNDS, check_plugged, check_without))


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
    """A change, and the seconds until dmypy has checked it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "mypy.dmypy", "--status-file", "status.json", *arguments]
        subprocess.run(command, cwd=self._folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __call__(self) -> float:
        _touch(self._folder)
        start = time.perf_counter()
        self.ask("check", ".")
        return time.perf_counter() - start
