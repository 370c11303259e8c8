"""The sources of popular packages: nothing is found in them, and nothing in them breaks baton-lint.

`make test-ecosystem` installs what packages.txt names, without dependencies, into `.ecosystem`.
"""

from __future__ import annotations

import ast
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lint.support import run

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / ".ecosystem"
FEWEST = 60
"""Packages that must be there."""
MODULES = 5_000
"""Modules whose functions are all made steps."""
MOST_OF_ONE = 150
"""Modules of one package among those."""

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(not SOURCES.is_dir(), reason="make test-ecosystem installs the packages"),
]


def packages() -> list[str]:
    if not SOURCES.is_dir():
        return []
    return sorted(
        path.name
        for path in SOURCES.iterdir()
        if path.is_dir() and not path.name.endswith(".dist-info") and any(path.rglob("*.py"))
    )


def modules(package: str) -> Iterator[tuple[Path, str, ast.Module]]:
    """The modules of a package that this Python reads: what it refuses is a finding, and a right one."""
    for path in sorted((SOURCES / package).rglob("*.py")):
        try:
            text = path.read_text(encoding="utf-8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield path.relative_to(SOURCES), text, ast.parse(text)
        except (SyntaxError, ValueError):
            continue


def test_enough_packages_are_there() -> None:
    names = {path.name.partition("-")[0].lower() for path in SOURCES.glob("*.dist-info")}
    assert len(names) >= FEWEST, "make test-ecosystem installs them"


@pytest.mark.parametrize("package", packages())
def test_nothing_is_found_in_a_package(package: str, tmp_path: Path) -> None:
    """Every file is parsed: the search for our name is turned off by putting it into each."""
    for path, text, _ in modules(package):
        copy = tmp_path / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(f"{text}\n# baton_dsl\n", encoding="utf-8")
    outcome = run(tmp_path, "--no-cache", "--strict", "--extend-select", "ALL", "--quiet")
    assert (outcome.output, outcome.status) == ("", 0)
    assert all("left alone" in line for line in outcome.errors.splitlines())


@pytest.mark.parametrize("package", packages())
def test_steps_everywhere_break_nothing(package: str, tmp_path: Path) -> None:
    """Each of some modules with `@step` on all of its functions: no crash, and a cache changes nothing."""
    for path, text, tree in some_of(package):
        copy = tmp_path / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(with_steps(text, tree), encoding="utf-8")
    arguments = ("--strict", "--extend-select", "ALL")
    first, second = run(tmp_path, *arguments), run(tmp_path, *arguments)
    assert first == second == run(tmp_path, *arguments, "--no-cache")
    assert first.status in (0, 1)
    for more in (("--format", "sarif"), ("--format", "full"), ("--diff", "--unsafe-fixes")):
        assert run(tmp_path, *more).status in (0, 1)
    assert run(tmp_path, "emit").status == 0
    shutil.rmtree(tmp_path)


def test_enough_modules_are_made_steps() -> None:
    assert sum(sum(1 for _ in some_of(package)) for package in packages()) >= MODULES


def some_of(package: str) -> Iterator[tuple[Path, str, ast.Module]]:
    count = 0
    for path, text, tree in modules(package):
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
            yield path, text, tree
            count += 1
            if count == MOST_OF_ONE:
                return


def with_steps(text: str, tree: ast.Module) -> str:
    """A module with `@step` on every function, and a flow of all that stand at its top."""
    lines = text.split("\n")
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    places = {min([node.lineno, *(item.lineno for item in node.decorator_list)]): node.col_offset for node in functions}
    for line, column in sorted(places.items(), reverse=True):
        if not lines[line - 1][:column].strip():
            lines.insert(line - 1, f"{lines[line - 1][:column]}@step")
    first = next((node for node in tree.body if not _is_head(node)), None)
    lines.insert(_first_line(first) - 1 if first is not None else len(lines), "from baton_dsl import Flow, step")
    top = dict.fromkeys(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    made = "\n".join(lines) + f"\nflow_of_all = Flow('all', {', '.join(top)})\n"
    try:
        ast.parse(made)
    except SyntaxError:  # a statement after a semicolon, or the like
        return text + "\n# baton_dsl\n"
    return made


def _is_head(node: ast.stmt) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", ())
    return min([node.lineno, *(item.lineno for item in decorators)])
