"""A worker without the code of a step or hook gives its job back: no attempt is used, and another worker runs it."""

from __future__ import annotations

import asyncio
import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from oban.worker import _registry

from baton_dsl import Flow, Workflow
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read
from baton_dsl.runtime.executing import absent
from baton_dsl.runtime.observing.doctor import examine
from tests.conftest import StartOban, until
from tests.integration.modules import hooks as given_hooks
from tests.integration.modules import steps

TIMEOUT = 60
WORKER = "baton_dsl.steps.deployed_later:step_of_new_code"

NEW_CODE = """
from baton_dsl import Flow, step

@step(max_attempts=1)
def step_of_new_code() -> int:
    return 7

def hook_of_new_code(status):
    CALLED.append(status.id)

CALLED = []
new = Flow("new", step_of_new_code, on_settled=hook_of_new_code)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file for the new code, on the path of this process; it does not exist yet."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(absent, "LONGEST_PAUSE", 1.0)
    yield tmp_path / "deployed_later.py"
    sys.modules.pop("deployed_later", None)
    for name in [name for name in _registry if "deployed_later" in name]:
        del _registry[name]


async def inserted(code: Path) -> Workflow[Any]:
    """A workflow of the new code, which is then removed."""
    code.write_text(NEW_CODE)
    importlib.invalidate_caches()
    workflow = await importlib.import_module("deployed_later").new.insert()
    code.unlink()
    sys.modules.pop("deployed_later")
    importlib.invalidate_caches()
    return workflow  # type: ignore[no-any-return]


def job(conn: psycopg.Connection[Any]) -> tuple[Any, ...]:
    row = conn.execute(
        "SELECT state::text, attempt, meta, errors FROM oban_jobs WHERE worker = %s", [WORKER]
    ).fetchone()
    assert row is not None
    return row


async def test_a_step_that_an_old_worker_does_not_know_loses_no_attempt_and_runs_once_the_code_is_there(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, code: Path, caplog: Any
) -> None:
    async with start_oban(queues={}):
        workflow = await inserted(code)
    async with start_oban():
        await until(lambda: job(conn)[2].get("baton_absent", {}).get("times", 0) >= 2, TIMEOUT)
        _, attempt, meta, errors = job(conn)
        assert attempt <= 1  # 1 while it is looked for
        assert errors == []
        assert meta["baton_absent"]["reason"].startswith('module "deployed_later" of step "step_of_new_code" can\'t be')
        assert "is given back, and can be fetched again in" in caplog.text
        code.write_text(NEW_CODE)
        importlib.invalidate_caches()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert job(conn)[:2] == ("completed", 1)
        called = importlib.import_module("deployed_later").CALLED
        await until(lambda: called == [workflow.id], TIMEOUT)


async def test_why_and_the_doctor_say_so(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absent, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr(absent, "pause_of", lambda _: 600)
    async with start_oban(queues={}):
        workflow = await inserted(code)
    async with start_oban(node="old-1"):
        await until(lambda: job(conn)[0] == "scheduled", TIMEOUT)
        said = await workflow.why("step_of_new_code")
        reason = """module "deployed_later" of step "step_of_new_code" can't be imported: """
        reason += "No module named 'deployed_later'"
        given_back = f"was given back by node old-1, which lacks its code ({reason}); it is fetched again"
        assert said.startswith(f'"step_of_new_code" {given_back}')
        report = await read(Database.configured(dsn=dsn), examine("public"))
        (finding,) = report.findings
        assert finding.message == f'1 job can\'t run on "old-1", which lacks the code: {reason}'
        code.write_text(NEW_CODE)
        importlib.invalidate_caches()
        conn.execute("UPDATE oban_jobs SET state = 'available' WHERE worker = %s", [WORKER])
        conn.execute("SELECT pg_notify('public.oban_insert', '{\"queue\": \"default\"}')")
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert (await read(Database.configured(dsn=dsn), examine("public"))).is_well
        assert "given back" not in await workflow.why("step_of_new_code")


async def test_a_module_that_exits_as_it_is_imported_ends_no_worker(
    start_oban: StartOban, conn: psycopg.Connection[Any], code: Path
) -> None:
    async with start_oban(queues={}):
        await inserted(code)
    code.write_text("import sys\nsys.exit('no main guard')")
    importlib.invalidate_caches()
    async with start_oban():
        await until(lambda: "baton_absent" in job(conn)[2], TIMEOUT)
        assert job(conn)[2]["baton_absent"]["reason"].endswith("can't be imported: SystemExit: no main guard")
        assert (await (await Flow("other", steps.noop).insert()).wait(TIMEOUT)).outcome == "completed"


async def test_a_step_of_a_cancelled_workflow_is_not_given_back_for_ever(
    start_oban: StartOban, conn: psycopg.Connection[Any], code: Path
) -> None:
    async with start_oban(queues={}):
        workflow = await inserted(code)
    async with start_oban():
        await until(lambda: "baton_absent" in job(conn)[2], TIMEOUT)
        await workflow.cancel()
        assert (await workflow.wait(TIMEOUT)).outcome == "cancelled"


async def test_a_hook_that_an_old_worker_does_not_know_is_called_once_the_code_is_there(
    start_oban: StartOban, conn: psycopg.Connection[Any], code: Path
) -> None:
    async with start_oban(queues={}):
        await Flow("some", steps.noop, on_settled=given_hooks.settled).insert()
        conn.execute(
            "UPDATE baton_workflows SET hooks = jsonb_set(hooks, '{on_settled,worker}', "
            "'\"baton_dsl.hooks.deployed_later:hook_of_new_code\"')"
        )
    row = "SELECT errors, meta -> 'baton_absent' ->> 'times' FROM oban_jobs WHERE meta ? 'baton_hook'"
    async with start_oban():
        await until(lambda: (found := conn.execute(row).fetchone()) is not None and int(found[1] or 0) >= 2, TIMEOUT)
        code.write_text(NEW_CODE)
        importlib.invalidate_caches()
        await until(lambda: bool(getattr(sys.modules.get("deployed_later"), "CALLED", None)), TIMEOUT)
        assert (conn.execute(row).fetchone() or ())[0] == []


def test_the_pauses_grow_up_to_a_minute_and_are_jittered() -> None:
    for times, longest in [(1, 2), (3, 8), (6, 60), (1000, 60)]:
        pauses = {absent.pause_of(times) for _ in range(200)}
        assert max(pauses) <= longest
        assert min(pauses) >= longest / 2
    assert len({absent.pause_of(20) for _ in range(200)}) > 5


# --- scripts ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio
import psycopg
from baton_dsl import Flow, FlowError, step
from oban import Oban

@step
def a() -> int:
    return 1

def tell(status): ...

if __name__ == "__main__":
    import sys
    how, dsn = sys.argv[1:]
    if how == "insert":
        with psycopg.connect(dsn) as conn:
            print(Flow("f", a, on_settled=tell).insert(conn).id)
    else:
        async def main():
            pool = await Oban.create_pool(dsn)
            async with Oban(pool=pool, queues={"default": 1}):
                with psycopg.connect(dsn) as conn:
                    workflow = Flow("f", a).insert(conn)
                await workflow.wait(60)
                print(await workflow.result(a))
            await pool.close()
        asyncio.run(main())
"""


async def ran(folder: Path, *arguments: str) -> tuple[int | None, str]:
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_a_step_of_a_script_is_refused_at_an_insert_and_nothing_is_written(
    tmp_path: Path, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    code, said = await ran(tmp_path, "script.py", "insert", dsn)
    assert code == 1
    assert 'BTN306: step "a" is of a script, which ran as "__main__": no worker can import it by name' in said
    assert 'BTN306: on_settled is of a script, which ran as "__main__"' in said
    assert "help: move it to a module, or run the script as one: python -m NAME" in said
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (0,)


async def test_a_script_that_runs_as_a_module_has_a_name(
    tmp_path: Path, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    code, said = await ran(tmp_path, "-m", "script", "insert", dsn)
    assert code == 0, said
    assert conn.execute("SELECT worker FROM oban_jobs").fetchall() == [("baton_dsl.steps.script:a",)]


async def test_a_script_that_runs_oban_itself_runs_its_steps(tmp_path: Path, dsn: str) -> None:
    assert await ran(tmp_path, "script.py", "run", dsn) == (0, "1\n")


async def test_a_job_of_a_script_says_so_where_it_is_fetched(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        await Flow("some", steps.noop).insert()
        conn.execute("UPDATE oban_jobs SET worker = 'baton_dsl.steps.__main__:a'")
    async with start_oban():
        reason = "SELECT meta #>> '{baton_absent,reason}' FROM oban_jobs"
        await until(lambda: conn.execute(reason).fetchone() != (None,), TIMEOUT)
        assert conn.execute(reason).fetchone() == (
            'step "a" is of a script, which ran as "__main__": no worker can import it',
        )
