"""A cache of mypy that knows the libraries, made once for all processes of a test run."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from mypy_projects import Prepared, Project, write_stubs


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Prepared:
    """Stubs of the drivers, and a cache in which everything else that `baton_dsl` imports has been checked."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "mypy-of-libraries"
    shared.mkdir(exist_ok=True)
    prepared = Prepared(shared / "stubs", shared / "project" / ".cache-made")
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            write_stubs(prepared.stubs)
            (shared / "project").mkdir()
            project = Project(shared / "project", prepared.stubs)
            project.write({"everything.py": "from baton_dsl import Flow, Workflow, step\n"})
            assert project.check(cache="made") == ""
            (shared / "done").touch()
    return prepared


@pytest.fixture
def project(tmp_path: Path, prepared: Prepared) -> Project:
    """An empty project."""
    return prepared.project(tmp_path)
