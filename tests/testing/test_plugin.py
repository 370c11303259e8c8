"""The pytest plugin in separate pytest runs: fixtures in every kind of test, drawings, snapshots, and no cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from baton_dsl.testing import assert_flow
from baton_dsl.testing.snapshots import shape_of
from tests.testing.flows import shop

SHOP = Path(__file__).parent / "flows.py"

KINDS = """
import pytest
from shop_flows import billing, charge, fetch_token, report, Token

REPLACE = {fetch_token: Token(value="t"), charge: [ConnectionError(), 12]}

@pytest.fixture(scope="session")
def once(baton):
    return baton.sync.run(billing, api_key="x", replace=REPLACE)

def test_a_plain_one(baton, once):
    assert once[report].total == 12
    assert baton.sync.run(billing, api_key="x", replace=REPLACE).attempts(charge) == 2

@pytest.mark.asyncio
async def test_asyncio(baton):
    assert (await baton.run(billing, api_key="x", replace=REPLACE)).outcome == "completed"

@pytest.mark.anyio
async def test_anyio(baton):
    assert (await baton.run(billing, api_key="x", replace=REPLACE)).outcome == "completed"

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

FAILING = """
from shop_flows import billing, charge, fetch_token, report, Token

def test_it(baton):
    run = baton.sync.run(billing, api_key="x", replace={fetch_token: Token(value="t"), charge: ValueError("no money")})
    assert run.outcome == "completed"

def test_another(baton):
    assert baton.sync.run(billing, api_key="x", replace={fetch_token: Token(value="t")}).outcome == "completed"
    assert 1 == 2
"""

WRONG = """
from shop_flows import billing

def test_it(baton):
    baton.sync.run(billing)
"""

SNAPSHOT = """
from baton_dsl.testing import assert_flow
from shop_flows import shop

def test_shape():
    assert_flow(shop, "shop.flow")
"""

UNUSED = """
import sys

def test_nothing_is_loaded():
    assert not {"pydantic", "oban", "psycopg", "baton_dsl.flow", "baton_dsl.testing.baton"} & set(sys.modules)
"""


def run_pytest(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    folder.joinpath("shop_flows.py").write_text(SHOP.read_text(encoding="utf-8"), encoding="utf-8")
    folder.joinpath("test_it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # where a file must be there
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_the_fixture_serves_every_kind_of_test(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, told = run_pytest(tmp_path, KINDS, *arguments)
    assert code == 0, told
    assert "3 passed" in told


def test_a_failed_test_shows_the_flows_that_it_ran_and_no_others(tmp_path: Path) -> None:
    code, told = run_pytest(tmp_path, FAILING)
    assert code == 1
    first, _, second = told.partition("test_another")
    assert "discarded; attempt 20 of 20; ValueError: no money" in first
    assert "The workflow was discarded" in first
    assert "ValueError: no money" not in second.partition("short test summary")[0]


def test_a_snapshot_is_written_compared_and_written_anew(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, SNAPSHOT)[0] == 0
    file = tmp_path / "shop.flow"
    shape = file.read_text(encoding="utf-8")
    assert "takes regions: Each[str]" in shape
    assert run_pytest(tmp_path, SNAPSHOT)[0] == 0
    file.write_text(shape.replace("Each[str]", "str"), encoding="utf-8")
    code, told = run_pytest(tmp_path, SNAPSHOT)
    assert code == 1
    assert "-  takes regions: str" in told
    assert "+  takes regions: Each[str]" in told
    assert "pytest --baton-update" in told
    assert run_pytest(tmp_path, SNAPSHOT, "--baton-update")[0] == 0
    assert file.read_text(encoding="utf-8") == shape


def test_a_file_that_is_not_there_fails_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="another shape"):
        assert_flow(shop, tmp_path / "none.flow")
    assert not (tmp_path / "none.flow").exists()


def test_the_shape_says_all_that_a_review_should_see() -> None:
    assert "summary -> str" in shape_of(shop)
    assert "  backoff = a function" in shape_of(shop)
    assert "  input country: str" in shape_of(shop)


def test_a_test_run_that_does_not_use_it_loads_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:anyio",
    ]
    tmp_path.joinpath("test_it.py").write_text(UNUSED, encoding="utf-8")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_wrong_input_is_told_without_the_frames_that_found_it(tmp_path: Path) -> None:
    code, told = run_pytest(tmp_path, WRONG)
    assert code == 1
    assert "baton.sync.run(billing)" in told
    assert 'input "api_key"' in told
    assert not any(name in told for name in ("baton.py", "memory.py", "lower.py"))
