"""The real pre-commit, the schema of SARIF, and the sources of packages that don't use us."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.lint.support import run, write

ROOT = Path(__file__).parents[2]
STEPS = "from baton_dsl import step\n\n@step\ndef orders() -> list[int]:\n    return [1]\n"
FLOWS = (
    "from baton_dsl import Flow, step\nfrom steps import orders\n\n"
    "@step\ndef report(orders: list[int]) -> int:\n    return len(orders)\n\nshop = Flow('shop', orders, report)\n"
)
BIN = Path(sys.executable).parent


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(folder / ".git" / "pre-commit-home"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, check=check, timeout=120
    )


def hooks() -> str:
    """Our own hook, as a local one that uses what is installed here: a test builds no environments."""
    lines = (ROOT / ".pre-commit-hooks.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("#") and "additional_dependencies" not in line]
    text = "\n".join(f"      {line}" for line in kept).replace("language: python", "language: system")
    return f"repos:\n  - repo: local\n    hooks:\n{text}\n"


def test_pre_commit_refuses_a_change_that_breaks_a_flow_in_another_file(tmp_path: Path) -> None:
    pytest.importorskip("pre_commit", reason="the lowest versions are tested without it")
    write(tmp_path, {".pre-commit-config.yaml": hooks(), "pyproject.toml": "", "steps.py": STEPS, "flows.py": FLOWS})
    git(tmp_path, "git", "init", "--quiet")
    git(tmp_path, "pre-commit", "install")
    git(tmp_path, "git", "add", ".")
    git(tmp_path, "git", "commit", "-m", "First")
    write(tmp_path, {"steps.py": STEPS.replace("def orders", "def all_orders") + "\norders = all_orders\n"})
    git(tmp_path, "git", "add", "steps.py")
    refused = git(tmp_path, "git", "commit", "-m", "Second", check=False)
    assert refused.returncode == 1
    assert 'flows.py:5:12: BTN102: step "report" has no upstream or input called "orders"' in refused.stderr
    assert 'did you mean "all_orders"?' in refused.stderr


def test_the_hook_is_one_that_pre_commit_accepts() -> None:
    manifests = pytest.importorskip("pre_commit.clientlib", reason="the lowest versions are tested without it")
    (hook,) = manifests.load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    assert (hook["id"], hook["entry"], hook["pass_filenames"]) == ("baton-lint", "baton-lint", False)


def test_sarif_fits_its_schema(tmp_path: Path) -> None:
    schema: dict[str, Any] = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text())
    Draft7Validator.check_schema(schema)
    write(
        tmp_path,
        {"fl ö ws.py": FLOWS.replace("(orders:", "(ordes:") + "again = Flow('shop', orders, report, orders)\n"},
    )
    write(tmp_path, {"steps.py": STEPS, "good.py": STEPS})
    document = json.loads(run(tmp_path, "--no-cache", "--format", "sarif").output)
    Draft7Validator(schema).validate(document)
    (tool_run,) = document["runs"]
    assert {result["ruleId"] for result in tool_run["results"]} == {"BTN102", "BTN103", "BTN106"}
    for result in tool_run["results"]:
        assert tool_run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": "fl%20%C3%B6%20ws.py"
    }
    empty = json.loads(run(tmp_path, "good.py", "--format", "sarif").output)
    Draft7Validator(schema).validate(empty)


@pytest.mark.parametrize("package", ["pydantic", "sqlalchemy", "psycopg", "libcst", "hypothesis", "oban"])
def test_nothing_is_found_in_the_source_of_a_large_package(package: str, tmp_path: Path) -> None:
    """Every file is parsed: the search for our name is turned off by putting it into each."""
    folder = Path(sysconfig.get_path("purelib")) / package
    count = 0
    for path in folder.rglob("*.py"):
        data = path.read_bytes()
        if b"coding" in data[:200] and b"utf" not in data[:200].lower():
            continue
        copy = tmp_path / package / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data + b"\n# baton_dsl\n")
        count += 1
    assert count > 10
    outcome = run(tmp_path, "--no-cache", "--strict", "--extend-select", "ALL")
    assert (outcome.output, outcome.status) == ("", 0)
