"""An application that only inserts: neither Oban nor SQLAlchemy is loaded, so neither has to be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = ("oban", "psycopg_pool", "sqlalchemy", "uvloop", "click", "rich", "libcst", "mypy")
"""What only extras bring, by the names under which it is imported."""

ABSENT = f"""
import sys


class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent)
"""

FLOW = """
from baton_dsl import Each, Flow, Input, step


@step
def regions(country: Input[str]) -> list[str]:
    return [country]


@step
def orders(regions: Each[str]) -> int:
    return len(regions)


@step
def report(orders: list[int]) -> int:
    return sum(orders)


shop = Flow("shop", regions, orders, report)
"""

SYNC = """
import sys
import psycopg
from baton_dsl import Workflow
from baton_dsl.errors import ResultNotReadyError
from shop import report, shop

dsn = sys.argv[1]
with psycopg.connect(dsn) as conn:
    workflow = shop.options(workflow_id="w").insert(conn, country="at")
same = Workflow.load("w", dsn=dsn).sync
assert same.status().counts == {"available": 1, "suspended": 2}
assert [node.step for node in same.nodes()] == ["regions", "orders", "report"]
assert same.items("orders") == []
assert dict(same.results()) == {}
try:
    same.result(report)
except ResultNotReadyError:
    pass
else:
    raise AssertionError("there is no result yet")
assert "regions" in same.why()
assert same.pause() and same.resume() and same.cancel()
assert same.wait(timeout=60).outcome == "cancelled"
assert same.retry()
"""

ASYNC = """
import asyncio
import sys
import psycopg
from shop import shop


async def main(dsn):
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        workflow = await shop.insert(conn, country="at")
    assert (await workflow.status()).counts == {"available": 1, "suspended": 2}
    assert await workflow.cancel()
    assert (await workflow.wait(timeout=60)).outcome == "cancelled"
    assert (await workflow.rerun(shop)).id != workflow.id


asyncio.run(main(sys.argv[1]))
"""

LOADED = "\nprint(*sorted(it for it in sys.modules if '.' not in it))\n"


def run(folder: Path, script: str, dsn: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(FLOW)
    (folder / "main.py").write_text(script)
    command = [sys.executable, "main.py", dsn]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize("before", [ABSENT, "import sys\n"], ids=["absent", "installed"])
def test_inserting_and_asking_on_a_psycopg_connection_needs_no_extra(
    script: str, before: str, dsn: str, tmp_path: Path
) -> None:
    done = run(tmp_path, before + script + LOADED, dsn)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(EXTRAS)


def test_what_needs_an_extra_says_how_to_install_it(empty_dsn: str, tmp_path: Path) -> None:
    script = "from baton_dsl.runtime import schema\nschema.install(sys.argv[1])\n"
    done = run(tmp_path, ABSENT + script, empty_dsn)
    assert done.stderr.splitlines()[-1] == (
        "baton_dsl.errors.ExtraMissingError: BTN420: oban is not installed; run: pip install 'baton-dsl[worker]'"
    )


def test_an_insert_without_a_connection_needs_an_oban_instance(dsn: str, tmp_path: Path) -> None:
    script = "import asyncio\nfrom shop import shop\nasyncio.run(shop.insert(country='at'))\n"
    done = run(tmp_path, ABSENT + script, dsn)
    assert "BTN406: no Oban instance" in done.stderr.splitlines()[-1]
