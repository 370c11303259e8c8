"""The dashboard with few rights, without some packages, and with a damaged database."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from baton_dsl import web
from baton_dsl.runtime import schema
from baton_dsl.runtime.grants import Grants
from tests.integration.roles import role, user_of
from tests.web.asking import ask
from tests.web.steps import shop

ROOT = Path(__file__).parents[2]
VIEWS: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/", {"standing": "stuck"}),
    ("/workflow", {}),
    ("/step", {"step": "report"}),
    ("/step", {"step": "orders"}),
    ("/workflow/inputs", {}),
    ("/queues", {}),
    ("/deploy", {}),
    ("/health", {}),
    ("/action", {"do": "cancel"}),
    ("/action", {"step": "report"}),
]


async def all_of(app: Any, workflow_id: str) -> dict[str, int]:
    found = {}
    for path, query in VIEWS:
        found[f"{path} {query}"] = (await ask(app, path, id=workflow_id, **query)).status
    return found


async def test_a_role_that_may_only_read_sees_all_and_can_do_nothing(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = shop.insert(conn, country="de")
    with role(dsn, "reader") as reading:
        for statement in Grants(read=(user_of(reading),)).statements():
            conn.execute(statement.encode())
        app = web.app(reading)  # who asks may operate; the role may not
        seen = await all_of(app, workflow.id)
        assert {page: status for page, status in seen.items() if status not in (200, 404)} == {}
        for do, step in (("cancel", ""), ("pause", ""), ("retry", "regions")):
            page = await ask(app, "/action", id=workflow.id, do=do, step=step)
            token = page.cookies["baton_csrf"]
            done = await ask(
                app,
                "/action",
                method="POST",
                form={"csrf": token},
                headers={"cookie": f"baton_csrf={token}"},
                id=workflow.id,
                do=do,
                step=step,
            )
            assert (done.status, "The database refused" in done.text) == (403, True)
        assert (await workflow.status()).counts == {"available": 1, "suspended": 2}


async def test_an_operator_can_act(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = shop.insert(conn, country="de")
    with role(dsn, "operator") as operating:
        for statement in Grants(operate=(user_of(operating),)).statements():
            conn.execute(statement.encode())
        app = web.app(operating)
        seen = await all_of(app, workflow.id)
        assert {page: status for page, status in seen.items() if status not in (200, 404)} == {}
        token = (await ask(app, "/action", id=workflow.id, do="cancel")).cookies["baton_csrf"]
        headers = {"cookie": f"baton_csrf={token}"}
        done = await ask(
            app, "/action", method="POST", form={"csrf": token}, headers=headers, id=workflow.id, do="cancel"
        )
        assert done.status == 303
        assert (await workflow.status()).outcome == "cancelled"


async def test_without_tables_every_page_says_what_to_run(empty_dsn: str) -> None:
    app = web.app(empty_dsn)
    for path in ("/", "/workflow", "/step", "/queues"):
        answer = await ask(app, path, id="any", step="any")
        assert (answer.status, "baton install" in answer.text) == (503, True)
    health = await ask(app, "/health")
    assert "has no tables" in health.text


async def test_a_database_that_does_not_answer_is_told_without_its_address() -> None:
    answer = await ask(web.app("postgresql://nobody:secret@127.0.0.1:1/nothing"))
    assert (answer.status, "The database can't be reached." in unescape(answer.text)) == (503, True)
    assert "secret" not in answer.text
    assert "127.0.0.1" not in answer.text


async def test_another_schema_is_shown_alone(empty_dsn: str) -> None:
    schema.install(empty_dsn, "jobs")
    with psycopg.connect(empty_dsn) as conn:
        workflow = shop.options(prefix="jobs").insert(conn, country="de")
    app = web.app(empty_dsn, prefix="jobs")
    seen = await all_of(app, workflow.id)
    assert {page: status for page, status in seen.items() if status not in (200, 404)} == {}
    assert workflow.id[:13] in (await ask(app, "/")).text


@pytest.mark.parametrize("package", ["starlette", "jinja2"])
def test_a_missing_package_is_told_with_its_extra(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom baton_dsl import web"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert re.search(r"BTN420: \w+ is not installed; run: pip install 'baton-dsl\[web\]'", done.stderr)


def test_the_command_refuses_to_listen_elsewhere_without_authorization(dsn: str) -> None:
    command = [sys.executable, "-m", "baton_dsl.cli", "web", "--dsn", dsn, "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 4
    assert 'BTN437: the dashboard has no authorization, and "0.0.0.0" is not this machine alone' in done.stderr
    done = subprocess.run(
        [*command, "--authorize", "tests.web.steps:nobody"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert 'tests.web.steps has no function "nobody"' in done.stderr


def test_the_command_serves_until_it_is_told_to_stop(dsn: str) -> None:
    command = [sys.executable, "-m", "baton_dsl.cli", "web", "--dsn", dsn, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as serving:
        assert serving.stderr is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", serving.stderr.readline())
        assert address is not None
        with urlopen(address[0], timeout=60) as answer:
            assert b"There is no workflow yet." in answer.read()
        serving.terminate()
        assert serving.wait(timeout=60) in (0, 143, -15)
