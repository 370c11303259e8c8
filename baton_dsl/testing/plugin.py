"""The pytest plugin of baton-dsl: the fixtures `baton` and `baton_db`, and drawings for failed tests.

pytest loads it wherever baton-dsl is installed, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from baton_dsl.testing.baton import Baton
    from baton_dsl.testing.database import BatonDatabase, BatonServer

MOST_PICTURES = 3
"""How many runs of a failed test are shown: the last ones."""

_RUNNERS: pytest.StashKey[list[Any]] = pytest.StashKey()
"""The fixtures that ran flows in the current test, for the drawings in a failure report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--baton-update`, which rewrites the snapshots of `assert_flow`."""
    group = parser.getgroup("baton-dsl")
    group.addoption(
        "--baton-update",
        action="store_true",
        default=False,
        help="Rewrite the files of assert_flow whose flows have changed.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Pass the option to `assert_flow` in the environment, which the processes of xdist inherit."""
    if config.getoption("--baton-update"):
        os.environ["BATON_UPDATE"] = "1"


@pytest.fixture(scope="session")
def baton() -> Iterator[Baton]:
    """Runs flows in memory and in virtual time; see `baton_dsl.testing.Baton`. Fixtures of any scope can use it."""
    from baton_dsl.testing.baton import Baton

    with Baton() as made:
        yield made


@pytest.fixture(scope="session")
def baton_server() -> Iterator[BatonServer]:
    """A PostgreSQL for the whole run: that of `BATON_TEST_DSN`, or an embedded one."""
    from baton_dsl.testing.database import BatonServer

    with BatonServer() as server:
        yield server


@pytest.fixture
def baton_db(baton_server: BatonServer) -> Iterator[BatonDatabase]:
    """Runs flows on a fresh database of a real PostgreSQL; see `baton_dsl.testing.database.BatonDatabase`."""
    with baton_server.database() as database:
        yield database


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Drop the runs of the previous test, and remember the fixtures that may run flows in this one."""
    funcargs: dict[str, Any] = getattr(item, "funcargs", {})
    given = (funcargs.get(name) for name in ("baton", "baton_db"))
    item.stash[_RUNNERS] = [it for it in given if hasattr(it, "runs")]  # another plugin may have a fixture of that name
    before = {id(run) for runner in item.stash[_RUNNERS] for run in runner.runs}
    try:
        return (yield)
    finally:
        item.stash[_RUNNERS] = [run for runner in item.stash[_RUNNERS] for run in runner.runs if id(run) not in before]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the flows of a failed test, with the state of each step."""
    report = yield
    if call.when == "call" and report.failed:  # type: ignore[attr-defined]
        for run in item.stash.get(_RUNNERS, [])[-MOST_PICTURES:]:
            picture = f"{run!r}\n{run}\n{run.why()}"
            report.sections.append(("baton", picture))  # type: ignore[attr-defined]
    return report
