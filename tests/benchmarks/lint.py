"""baton-lint as a whole process: against grep and ruff on files without steps, on many flows, its start, its fixes."""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import baton_lint
import libcst

import baton_dsl
from tests.benchmarks.report import Row, medians

BIN = Path(sys.executable).parent
LINT = str(BIN / "baton-lint")
RUFF = str(BIN / "ruff")
FILES = 10_000
ROUNDS = 7


def run() -> list[Row]:
    """Four comparisons, each in a folder of its own."""
    _compile()
    return [*_files_without_steps(), *_many_flows(), _start_up(), _fixes()]


def _compile() -> None:
    """Bytecode, which whoever installs a package has; a working copy lacks it where Python may not write any."""
    for package in (baton_dsl, baton_lint):
        compileall.compile_dir(package.__path__[0], quiet=2)


def _seconds(*command: str, folder: Path) -> float:
    start = time.perf_counter()
    process = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert process.returncode in (0, 1), process.stderr
    return time.perf_counter() - start


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text("[project]\nname = 'measured'\n")
        yield folder


def _row(work: str, measured: float, reference: str, compared: float, goal: str) -> Row:
    return Row(
        work=work,
        measured=f"{measured:.3f} s",
        reference=f"{reference} {compared:.3f} s",
        ratio=measured / compared,
        goal=goal,
    )


# --- files that have nothing to do with us -----------------------------------------------------------------------


def _files_without_steps() -> list[Row]:
    with _folder() as folder:
        _copy_installed(folder)
        cold, grep, ruff = medians(
            ROUNDS,
            lambda: _seconds(LINT, "--no-cache", folder=folder),
            lambda: _seconds("grep", "-rl", "baton_dsl", ".", folder=folder),
            lambda: _seconds(RUFF, "check", "--isolated", "--select", "F", "--no-cache", "--quiet", ".", folder=folder),
        )
        time.sleep(0.1)  # files younger than the clock's tick are looked at again
        for _ in range(2):  # fill both caches
            _seconds(LINT, folder=folder)
            _seconds(RUFF, "check", "--isolated", "--select", "F", "--quiet", ".", folder=folder)
        warm, grep_again, ruff_warm = medians(
            ROUNDS,
            lambda: _seconds(LINT, folder=folder),
            lambda: _seconds("grep", "-rl", "baton_dsl", "--exclude-dir=.*_cache", ".", folder=folder),
            lambda: _seconds(RUFF, "check", "--isolated", "--select", "F", "--quiet", ".", folder=folder),
        )
    return [
        _row(f"lint {FILES:,} files without steps, cold", cold, "grep -rl", grep, "1.5 x grep"),
        _row(f"lint {FILES:,} files without steps, warm", warm, "grep -rl", grep_again, "1.0 x grep"),
        _row("the same, cold", cold, "ruff --select F", ruff, ""),
        _row("the same, warm", warm, "ruff --select F", ruff_warm, ""),
    ]


def _copy_installed(folder: Path) -> None:
    """Real files: what is installed here and the standard library, as often as it takes."""
    sources = [Path(sysconfig.get_path(name)) for name in ("purelib", "stdlib")]
    found = [
        (path, path.relative_to(source))
        for source in sources
        for path in sorted(source.rglob("*.py"))
        if path.is_file() and b"baton_dsl" not in path.read_bytes()
    ]
    for number in range(FILES):
        path, relative = found[number % len(found)]
        copy = folder / f"copy_{number // len(found)}" / str(relative).replace("site-packages", "packages")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


# --- many flows --------------------------------------------------------------------------------------------------


def _many_flows() -> list[Row]:
    with _folder() as folder:
        (folder / "app").mkdir()
        for number in range(200):
            (folder / "app" / f"flow_{number}.py").write_text(_module(number))
        cold, bare = medians(
            ROUNDS,
            lambda: _seconds(LINT, "--no-cache", folder=folder),
            lambda: _seconds(sys.executable, "-c", _PARSE, folder=folder),
        )
        time.sleep(0.1)
        _seconds(LINT, folder=folder)
        warm, start = medians(
            ROUNDS,
            lambda: _seconds(LINT, folder=folder),
            lambda: _seconds(sys.executable, "-c", "pass", folder=folder),
        )
    return [
        _row("lint 2,000 steps in 200 flows, 200 modules, cold", cold, "ast.parse alone", bare, "0.5 s"),
        _row("lint 2,000 steps in 200 flows, 200 modules, warm", warm, "python -c pass", start, "0.08 s"),
    ]


_PARSE = "import ast, pathlib\nfor path in pathlib.Path('app').glob('*.py'): ast.parse(path.read_bytes())"


def _module(number: int, misspelt: bool = False) -> str:
    row = f"Row{number}"
    lines = [
        f'"""Flow {number}."""\n',
        "from pydantic import BaseModel\n",
        "from baton_dsl import Flow, Input, step\n\n",
        f"class {row}(BaseModel):\n    id: int\n    name: str\n",
    ]
    names = [f"step_{number}_{index}" for index in range(10)]
    for index, name in enumerate(names):
        upstreams = names[max(0, index - 2) : index]
        if misspelt and index == 5:
            upstreams = [f"{upstreams[0]}x", *upstreams[1:]]
        parameters = [f"{upstream}: list[{row}]" for upstream in upstreams] or ["key: Input[str]"]
        lines.append(
            f'\n@step(queue="measured", max_attempts=5)\nasync def {name}({", ".join(parameters)}) -> list[{row}]:\n'
            f'    """Step {index} of flow {number}."""\n    rows = []\n'
            + "".join(f"    rows += {upstream}\n" for upstream in upstreams or ["[key]"])
            + f"    for index in range(10):\n        value = str(index).upper().strip()\n"
            f"        rows.append({row}(id=index, name=value))\n    return rows\n"
        )
    lines.append(f'\nflow_{number} = Flow("flow_{number}", {", ".join(names)})\n')
    lines.append(f"\nasync def main(session) -> None:\n    await flow_{number}.insert(session, key='x')\n")
    return "".join(lines)


# --- start-up and fixes ------------------------------------------------------------------------------------------


def _start_up() -> Row:
    with _folder() as folder:
        version, bare = medians(
            21,
            lambda: _seconds(LINT, "--version", folder=folder),
            lambda: _seconds(sys.executable, "-c", "pass", folder=folder),
        )
    return _row("baton-lint --version", version, "python -c pass", bare, f"+ 0.030 s (is + {version - bare:.3f} s)")


def _fixes() -> Row:
    sources = {f"flow_{number}.py": _module(number, misspelt=True) for number in range(100)}

    def fix() -> float:
        with _folder() as folder:
            for name, source in sources.items():
                (folder / name).write_text(source)
            seconds = _seconds(LINT, "--no-cache", "--fix", folder=folder)
            assert all("x: list[" not in (folder / name).read_text() for name in sources)
        return seconds

    def bare() -> float:
        start = time.perf_counter()
        for source in sources.values():
            assert libcst.parse_module(source).code == source
        return time.perf_counter() - start

    fixed, parsed = medians(3, fix, bare)
    return _row("find and fix a name in each of 100 files", fixed, "libcst parse and print", parsed, "")
