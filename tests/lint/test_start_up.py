"""A run imports only what it needs, because users wait for the start."""

import subprocess
import sys
from pathlib import Path

from tests.lint.support import write

HEAVY = {
    *("pydantic", "libcst", "mypy", "oban", "psycopg", "sqlalchemy", "baton_dsl.runtime", "argparse", "dataclasses"),
    *("inspect", "pathlib", "re", "typing", "ast", "json", "tomllib", "logging", "asyncio", "multiprocessing"),
}


def imported(folder: Path, *arguments: str) -> set[str]:
    script = (
        "import sys; before = set(sys.modules)\n"
        "from baton_lint.cli import main\n"
        f"main({list(arguments)!r})\nprint(*(set(sys.modules) - before), sep='\\n')"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, cwd=folder
    )
    return set(process.stdout.split())


def test_the_version_needs_nothing_heavy(tmp_path: Path) -> None:
    assert imported(tmp_path, "--version") & HEAVY == set()


def test_a_project_without_flows_needs_nothing_heavy(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[project]\n", "plain.py": "x = 1\n"})
    assert imported(tmp_path) & HEAVY == set()
    assert imported(tmp_path) & HEAVY == set()


def test_a_second_look_at_flows_needs_no_rules(tmp_path: Path) -> None:
    flows = "from baton_dsl import Flow, step\n\n@step\ndef a() -> int:\n    return 1\n\nflow = Flow('f', a)\n"
    write(tmp_path, {"pyproject.toml": "", "flows.py": flows})
    cold = imported(tmp_path)
    assert "baton_dsl.core.check" in cold
    assert cold & {"pydantic", "libcst", "baton_dsl.runtime", "oban", "sqlalchemy"} == set()
    import time

    from tests.lint.support import run

    deadline = time.monotonic() + 60
    while "baton_dsl.core.check" in imported(tmp_path):  # a file younger than the clock's tick is looked at again
        assert time.monotonic() < deadline
    assert run(tmp_path).status == 0


def test_the_decorator_keeps_its_name_whatever_is_imported_first() -> None:
    script = (
        "import sys\nimport baton_dsl.core\nassert 'pydantic' not in sys.modules\nimport baton_dsl.flow\n"
        "from baton_dsl import Flow, step\nimport baton_dsl\nimport baton_dsl.step\n"
        "assert baton_dsl.step is step is sys.modules['baton_dsl.step'].step\nassert baton_dsl.Flow is Flow\n"
        "assert set(baton_dsl.__all__) <= set(dir(baton_dsl))\n"
    )
    process = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert process.stderr == ""
