"""`baton check-deploy` as a process: what it prints, and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.cli.test_on_a_database import BATON, ROOT, environment

CODE = """
from baton_dsl import Flow, Input, step

@step
def fetch(region: Input[str]) -> list[int]:
    return [1]

@step
def report(fetch: list[int]) -> str:
    return "done"

shop = Flow("shop", fetch, report)
"""


@pytest.fixture
def folder(tmp_path: Path, dsn: str) -> Path:
    """A folder with code that has inserted seven workflows."""
    (tmp_path / "shopcode.py").write_text(CODE, encoding="utf-8")
    script = f"""
import psycopg, shopcode
with psycopg.connect({dsn!r}) as conn:
    for number in range(7):
        shopcode.shop.options(workflow_id=f"w{{number}}").insert(conn, region="eu")
"""
    subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=tmp_path, env=environment(PYTHONPATH=f"{ROOT}:{tmp_path}"), check=True
    )
    return tmp_path


def check(folder: Path, dsn: str, *arguments: str, code: str = CODE) -> subprocess.CompletedProcess[str]:
    (folder / "shopcode.py").write_text(code, encoding="utf-8")
    command = [*BATON, "check-deploy", *arguments, "--dsn", dsn]
    env = environment(PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_code_that_can_finish_all_is_told_so(folder: Path, dsn: str) -> None:
    done = check(folder, dsn, "shopcode")
    assert (done.returncode, done.stdout) == (0, "7 workflows running: this code can finish them.\n")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("UPDATE oban_jobs SET state = 'cancelled'")
    done = check(folder, dsn, "shopcode")
    assert (done.returncode, done.stdout) == (0, 'No workflow of "shopcode" is running.\n')


def test_what_can_not_be_finished_is_told_once_for_all_that_have_it(folder: Path, dsn: str) -> None:
    renamed = CODE.replace("report(fetch:", "report(orders:")
    done = check(folder, dsn, "shopcode", code=renamed)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        (
            'flow "shop", step "report": parameter "orders" takes the result of "orders", for which the step did not '
            'wait when the workflow was inserted: it waits for "fetch"'
        ),
        "  workflows: w0, w1, w2, w3, w4 and 2 more",
        '  help: name what it reads: orders: Annotated[..., From("fetch")]',
        "7 workflows running: this code can't finish 7.",
    ]
    told = json.loads(check(folder, dsn, "shopcode", "--json", code=renamed).stdout)
    assert told["workflows"] == 7
    assert [obstacle["workflow_id"] for obstacle in told["obstacles"]] == [f"w{number}" for number in range(7)]


def test_stopped_says_that_no_worker_runs_the_code_from_before(folder: Path, dsn: str) -> None:
    changed = CODE.replace("list[int]", "dict[str, int]").replace("return [1]", "return {}")
    assert check(folder, dsn, "shopcode", code=changed).returncode == 1
    assert check(folder, dsn, "shopcode", "--stopped", code=changed).returncode == 0


def test_a_module_that_is_not_there_is_wrong_usage(folder: Path, dsn: str) -> None:
    done = check(folder, dsn, "shopcodes")
    assert done.returncode == 2
    assert 'there is no module "shopcodes"' in done.stderr
