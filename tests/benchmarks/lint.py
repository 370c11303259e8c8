"""baton-lint as a whole process: against grep and ruff on files without steps, on many flows, its start, its fixes.

What people wait for and the CPU seconds that it takes are lines of their own: it works in two processes where there are
two processors, so on a busy machine the first tells of the machine. "Cold" is without what an earlier run has left in
its cache; the operating system has the files in memory, for the references too.
"""

from __future__ import annotations

import compileall
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import baton_lint

import baton_dsl
from tests.benchmarks.processes import Cost, cost, in_turns, rows
from tests.benchmarks.report import Row

BIN = Path(sys.executable).parent
LINT = str(BIN / "baton-lint")
RUFF = (str(BIN / "ruff"), "check", "--isolated", "--select", "F", "--quiet")
GREP = ("grep", "-rlF", "--exclude-dir=.*_cache", "baton_dsl", ".")
FILES = 10_000
ROUNDS = 7
CACHE = ".baton_cache"


def run() -> list[Row]:
    """Five comparisons, each in a folder of its own."""
    _compile()
    return [*_files_without_steps(), *_many_flows(), *_one_flow(), *_start_up(), *_fixes()]


def _compile() -> None:
    """Bytecode, which whoever installs a package has; a working copy lacks it where Python may not write any."""
    for package in (baton_dsl, baton_lint):
        compileall.compile_dir(package.__path__[0], quiet=2)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text("[project]\nname = 'measured'\n")
        yield folder


# --- files that have nothing to do with us -----------------------------------------------------------------------


def _files_without_steps() -> list[Row]:
    with _folder() as folder:
        _copy_installed(folder)
        time.sleep(0.1)  # files younger than the clock's tick are looked at again

        def first() -> Cost:
            shutil.rmtree(folder / CACHE, ignore_errors=True)
            return cost(LINT, folder=folder)

        cold, written, grep, ruff = in_turns(
            ROUNDS,
            lambda: cost(LINT, "--no-cache", folder=folder),
            first,
            lambda: cost(*GREP, folder=folder),
            lambda: cost(*RUFF, "--no-cache", ".", folder=folder),
        )
        warm, grep_again, ruff_warm = in_turns(
            ROUNDS,
            lambda: cost(LINT, folder=folder),
            lambda: cost(*GREP, folder=folder),
            lambda: cost(*RUFF, ".", folder=folder),
        )
    work = f"lint {FILES:,} files without steps"
    return [
        *rows(f"{work}, cold, no cache", cold, "grep -rlF", grep, elapsed="1.0", cpu=""),
        *rows(f"{work}, cold, cache written", written, "grep -rlF", grep, elapsed="", cpu=""),
        *rows(f"{work}, warm", warm, "grep -rlF", grep_again, elapsed="0.5", cpu=""),
        *rows("the same, cold", cold, "ruff --select F", ruff, elapsed="", cpu=""),
        *rows("the same, warm", warm, "ruff --select F", ruff_warm, elapsed="", cpu=""),
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
        cold, parse = in_turns(ROUNDS, lambda: cost(LINT, "--no-cache", folder=folder), lambda: _parse(folder))
        time.sleep(0.1)
        cost(LINT, folder=folder)
        warm, start = in_turns(ROUNDS, lambda: cost(LINT, folder=folder), lambda: _nothing(folder))
    work = "lint 2,000 steps in 200 flows, 200 modules"
    return [
        *rows(f"{work}, cold", cold, "ast.parse alone", parse, elapsed="1.5", cpu=""),
        *rows(f"{work}, warm", warm, "python -c pass", start, elapsed="", cpu=""),
    ]


def _one_flow() -> list[Row]:
    with _folder() as folder:
        (folder / "app").mkdir()
        (folder / "app" / "flow.py").write_text(_module(0, steps=2_000))
        cold, parse = in_turns(ROUNDS, lambda: cost(LINT, "--no-cache", folder=folder), lambda: _parse(folder))
    return rows("lint 2,000 steps in one flow, cold", cold, "ast.parse alone", parse, elapsed="", cpu="")


def _parse(folder: Path) -> Cost:
    """What Python itself takes to read the modules: one process, and as it is by default."""
    source = "import ast, pathlib\nfor path in pathlib.Path('app').glob('*.py'): ast.parse(path.read_bytes())"
    return cost(sys.executable, "-c", source, folder=folder)


def _nothing(folder: Path) -> Cost:
    return cost(sys.executable, "-c", "pass", folder=folder)


def _module(number: int, *, steps: int = 10, misspelt: bool = False) -> str:
    row = f"Row{number}"
    lines = [
        f'"""Flow {number}."""\n',
        "from pydantic import BaseModel\n",
        "from baton_dsl import Flow, Input, step\n\n",
        f"class {row}(BaseModel):\n    id: int\n    name: str\n",
    ]
    names = [f"step_{number}_{index}" for index in range(steps)]
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


def _start_up() -> list[Row]:
    with _folder() as folder:
        (folder / "empty.py").write_text("")
        cost(LINT, folder=folder)
        version, usage, empty, nothing = in_turns(
            21,
            lambda: cost(LINT, "--version", folder=folder),
            lambda: cost(LINT, "--help", folder=folder),
            lambda: cost(LINT, "--no-cache", folder=folder),
            lambda: _nothing(folder),
        )
    return [
        row
        for work, spent in (("--version", version), ("--help", usage), ("on one empty file", empty))
        for row in rows(f"baton-lint {work}", spent, "python -c pass", nothing, elapsed="", cpu="")
    ]


def _fixes() -> list[Row]:
    sources = {f"flow_{number}.py": _module(number, misspelt=True) for number in range(100)}
    parse = (
        "import libcst, pathlib\n"
        "for path in pathlib.Path().glob('*.py'): assert libcst.parse_module(path.read_bytes()).code"
    )

    def fix() -> Cost:
        with _folder() as folder:
            for name, source in sources.items():
                (folder / name).write_text(source)
            spent = cost(LINT, "--no-cache", "--fix", folder=folder)
            assert all("x: list[" not in (folder / name).read_text() for name in sources)
        return spent

    with _folder() as folder:
        for name, source in sources.items():
            (folder / name).write_text(source)
        fixed, parsed = in_turns(3, fix, lambda: cost(sys.executable, "-c", parse, folder=folder))
    return rows("find and fix a name in each of 100 files", fixed, "libcst parse, print", parsed, elapsed="", cpu="")
