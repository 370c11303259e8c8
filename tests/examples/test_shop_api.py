"""The shop exactly as its README describes it: every command runs, on the test's own servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shop_api import flows
from tests.docs.test_code_blocks import ROOT, blocks_of
from tests.pgbouncer import PROGRAM
from tests.postgres import free_port, postgres, unprivileged

SHOP = ROOT / "examples" / "shop_api"
PATIENCE = 60.0


def test_the_flow_is_right() -> None:
    assert flows.fulfilment.validate() == ["reserve", "charge", "confirm"]


class Reader:
    """A reader who follows the README in a separate folder, with the ports of the test's servers."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "BATON_", "OBAN_", "PYTHON"))
        } | {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PGPORT": str(ports["5432"]),
        }
        shutil.copytree(SHOP, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_text(self._with_ports(path.read_text(), ports))
        self.blocks = [block for block in blocks_of(folder / "README.md") if block.language in ("sh", "json")]

    @staticmethod
    def _with_ports(text: str, ports: dict[str, int]) -> str:
        for port, number in ports.items():
            text = re.sub(rf"\b{port}\b", str(number), text)
        return text

    def next(self, language: str, beginning: str) -> str:
        """The next block of the page, which must be the one that is expected."""
        block = self.blocks.pop(0)
        assert (block.language, block.text.startswith(beginning)) == (language, True), block
        return block.text

    def run(self, beginning: str) -> str:
        """Run the next block to its end, and return its output."""
        command = ["bash", "-e", "-c", self.next("sh", beginning)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, beginning: str, **options: Any) -> Iterator[Path]:
        """Run the next block in a separate terminal, and return the path of its log."""
        log = self.folder / f"{beginning.split()[0]}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-c", self.next("sh", beginning)],
                **{"cwd": self.folder, "env": self.environment, "stdout": file, "stderr": file, "process_group": 0}
                | options,
            )
            try:
                yield log
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=PATIENCE)


def until(log: Path, words: str, times: int = 1) -> None:
    """Wait until a log says something."""
    deadline = time.monotonic() + PATIENCE
    while log.read_text().count(words) < times:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    missing = [name for name in ("psql", "curl") if shutil.which(name) is None] + ([] if PROGRAM else ["pgbouncer"])
    if missing:
        said = f"{', '.join(missing)} not installed: run .ci/servers"
        (pytest.fail if os.environ.get("BATON_TEST_PGBOUNCER") == "required" else pytest.skip)(said)
    with postgres() as port:
        yield {"5432": port, "6432": free_port(), "8000": free_port()}


def test_the_readme_can_be_followed_word_by_word(ports: dict[str, int], tmp_path: Path) -> None:
    reader = Reader(tmp_path, ports)
    wanted = reader.next("sh", "pip install").split()[2:]
    assert {it.strip("'").partition("[")[0] for it in wanted} == {"baton-dsl", "alembic", "fastapi", "uvicorn"}
    reader.run("psql")
    assert "No new upgrade operations detected." in reader.run("alembic upgrade")
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(readable_by_others(reader.folder))
        bouncer = stack.enter_context(reader.running("pgbouncer", cwd=there, **unprivileged()))
        until(bouncer, "process up")
        until(stack.enter_context(reader.running("uvicorn")), "Application startup complete")
        worker = stack.enter_context(reader.running("export BATON_DSN"))
        until(worker, "node runs", 2)
        placed, seen = reader.next("sh", "curl").splitlines(keepends=True), reader.next("json", "{").splitlines()
        reader.blocks.insert(0, block_of(placed[0]))
        assert json.loads(reader.run("curl")) == json.loads(seen[0])
        deadline = time.monotonic() + PATIENCE
        while True:
            reader.blocks.insert(0, block_of(placed[1]))
            if json.loads(answer := reader.run("curl")) == json.loads(seen[1]):
                break
            assert time.monotonic() < deadline, answer
        reader.environment["BATON_DSN"] = f"postgresql://shop_worker:worker@localhost:{ports['5432']}/shop"
        told = reader.run("baton status")
        assert re.search(r"✔─?.*  confirm", told), told
        assert "Nothing is wrong." in told
        assert "ERROR" not in worker.read_text()
        assert_the_roles_can_do_no_more(ports)
    assert not reader.blocks


def block_of(line: str) -> Any:
    return type(blocks_of(SHOP / "README.md")[0])("sh", line, 0)


@contextlib.contextmanager
def readable_by_others(folder: Path) -> Iterator[Path]:
    """Put the pooler's files where its user can read them."""
    with tempfile.TemporaryDirectory(prefix="baton-shop-") as made:
        there = Path(made)
        there.chmod(0o755)
        for name in ("pgbouncer.ini", "userlist.txt"):
            shutil.copy(folder / name, there)
        yield there


def assert_the_roles_can_do_no_more(ports: dict[str, int]) -> None:
    api = f"postgresql://shop_api:api@localhost:{ports['6432']}/shop"
    with psycopg.connect(api, autocommit=True, prepare_threshold=None) as conn:
        for statement in ("SELECT * FROM oban_jobs", "SELECT * FROM workflow_nodes", "UPDATE orders SET status = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())
        assert conn.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'shop%' AND rolsuper").fetchone() == (0,)
