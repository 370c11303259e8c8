"""Who may read and who may operate: requests without a server, so that a test can send any header."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from starlette.exceptions import HTTPException

from baton_dsl import web
from baton_dsl.errors import DashboardOpenError
from baton_dsl.runtime.workflow import Workflow
from baton_dsl.web.access import check_bound
from tests.web.asking import Answer, ask
from tests.web.steps import shop

LOCAL = {"host": "localhost:4040", "sec-fetch-site": "same-origin"}


@pytest.fixture
def workflow(dsn: str, conn: psycopg.Connection[Any]) -> Workflow[Any]:
    return shop.insert(conn, country="de")


def reader_of(_request: Any) -> Any:
    return "read"


async def operator_of(_request: Any) -> Any:
    return "operate"


async def confirmed(app: Any, workflow: Workflow[Any], do: str = "cancel", **more: Any) -> Answer:
    """The response to an action, confirmed as by a browser."""
    page = await ask(app, "/action", id=workflow.id, do=do)
    token = page.cookies.get("baton_csrf", "")
    headers = {**LOCAL, "cookie": f"baton_csrf={token}", **more.pop("headers", {})}
    form = {"csrf": token, **more.pop("form", {})}
    return await ask(app, "/action", method="POST", form=form, headers=headers, id=workflow.id, do=do, **more)


# --- without authorization --------------------------------------------------------------------------------------------


async def test_without_authorization_this_machine_may_do_all(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn)
    assert (await ask(app)).status == 200
    done = await confirmed(app, workflow)
    assert (done.status, done.headers["location"]) == (303, f"/workflow?id={workflow.id}&done=cancel")
    assert (await workflow.status()).outcome == "cancelled"


@pytest.mark.parametrize(
    "asked",
    [
        {"client": "192.0.2.7"},
        {"server": "192.0.2.1"},
        {"headers": {"host": "attacker.example:4040"}},  # a name that resolves to this machine: DNS rebinding
        {"headers": {"host": ""}},
        {"headers": {"x-forwarded-for": "192.0.2.7"}},
        {"headers": {"forwarded": "for=192.0.2.7"}},
        {"headers": {"x-real-ip": "192.0.2.7"}},
    ],
    ids=str,
)
async def test_without_authorization_nobody_else_is_answered(
    dsn: str, workflow: Workflow[Any], asked: dict[str, Any]
) -> None:
    app = web.app(dsn)
    for path in ("/", "/workflow", "/nowhere"):
        answer = await ask(app, path, id=workflow.id, **asked)
        assert answer.status == 403
        assert "answers only browsers on its own machine" in answer.text
        assert workflow.id not in answer.text
    assert (await ask(app, "/action", method="POST", form={}, id=workflow.id, do="cancel", **asked)).status == 403


def test_it_does_not_start_off_loopback_without_authorization() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "db.example.org", "::", ""):
        with pytest.raises(DashboardOpenError, match=r"BTN437: .* say who may do what"):
            check_bound(host, None)
        check_bound(host, reader_of)
    for host in ("127.0.0.1", "::1", "localhost"):
        check_bound(host, None)


# --- with authorization -----------------------------------------------------------------------------------------------


async def test_who_may_do_nothing_sees_nothing(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn, authorize=lambda request: None)
    for path in ("/", "/workflow", "/step", "/workflow/inputs", "/step/result", "/action", "/nowhere"):
        answer = await ask(app, path, id=workflow.id, step="report")
        assert answer.status == 403
        assert "shop" not in answer.text
    assert (await ask(app, "/action", method="POST", form={}, id=workflow.id, do="cancel")).status == 403


@pytest.mark.parametrize("do", ["cancel", "pause", "resume", "retry"])
async def test_who_may_read_changes_nothing_by_any_request(
    dsn: str, workflow: Workflow[Any], conn: psycopg.Connection[Any], do: str
) -> None:
    app = web.app(dsn, authorize=reader_of)
    assert (await ask(app, "/workflow", id=workflow.id)).status == 200
    before = everything(conn)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/workflow", "/step", "/action", "/workflow/cancel"):
            answer = await ask(app, path, method=method, form={"csrf": ""}, id=workflow.id, do=do)
            assert answer.status in (403, 405)
    assert (await confirmed(app, workflow, do)).status == 403
    assert (await confirmed(app, workflow, do, step="report")).status == 403
    assert (await ask(app, "/action", id=workflow.id, do=do)).status == 403
    assert (await ask(app, "/budget", id=workflow.id)).status == 403
    assert (await ask(app, "/budget", method="POST", form={"budget": "9"}, id=workflow.id)).status == 403
    assert "/action" not in (await ask(app, "/workflow", id=workflow.id)).text
    assert everything(conn) == before


def everything(conn: psycopg.Connection[Any]) -> list[Any]:
    tables = ("baton_workflows", "workflow_nodes", "oban_jobs")
    return [conn.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]  # type: ignore[arg-type]


async def test_an_authorization_that_returns_something_else_lets_nobody_in(dsn: str) -> None:
    app = web.app(dsn, authorize=lambda request: True)  # type: ignore[arg-type, return-value]
    assert (await ask(app)).status == 500
    app = web.app(dsn, authorize=lambda request: 1 / 0)  # type: ignore[arg-type, return-value]
    assert (await ask(app)).status == 500


async def test_an_authorization_may_ask_for_a_login(dsn: str, workflow: Workflow[Any]) -> None:
    def may(_request: Any) -> Any:
        raise HTTPException(401, "Log in first", {"www-authenticate": "Basic"})

    answer = await ask(web.app(dsn, authorize=may), "/workflow", id=workflow.id)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Basic")
    assert "Log in first" in answer.text
    assert workflow.id not in answer.text


async def test_an_authorization_that_fails_lets_nobody_in_and_shows_nothing_of_its_error(
    dsn: str, workflow: Workflow[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def may(_request: Any) -> Any:
        raise LookupError("no session s3cr3t")

    for path, method in (("/workflow", "GET"), ("/action", "GET"), ("/action", "POST")):
        answer = await ask(web.app(dsn, authorize=may), path, method=method, id=workflow.id, do="cancel")
        assert answer.status == 500
        assert workflow.id not in answer.text
        assert "s3cr3t" not in answer.text
    assert "LookupError: no session s3cr3t" in caplog.text
    assert (await workflow.status()).outcome is None


async def test_the_token_of_another_user_is_worth_nothing_without_his_cookie(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn, authorize=operator_of)
    one = (await ask(app, "/action", id=workflow.id, do="cancel")).cookies["baton_csrf"]
    other = (await ask(app, "/action", id=workflow.id, do="cancel")).cookies["baton_csrf"]
    assert one != other
    headers: dict[str, str | None] = {"cookie": f"baton_csrf={other}"}
    answer = await ask(app, "/action", method="POST", form={"csrf": one}, headers=headers, id=workflow.id, do="cancel")
    assert answer.status == 403
    assert (await workflow.status()).outcome is None


async def test_whatever_path_it_is_mounted_under_stays_within_its_links_and_its_cookie(dsn: str) -> None:
    root = '/ö "ps"; domain=evil?x#y%41'
    answer = await ask(web.app(dsn), root=root)
    quoted = "/%C3%B6%20%22ps%22%3B%20domain%3Devil%3Fx%23y%2541"
    assert f'href="{quoted}/queues"' in answer.text
    assert 'aria-current="page">Workflows' in answer.text
    assert f"Path={quoted};" in answer.headers["set-cookie"]


async def test_an_async_authorization_is_awaited(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn, authorize=operator_of)
    assert (await confirmed(app, workflow, client="192.0.2.7")).status == 303


# --- forms of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        {"form": {"csrf": ""}},
        {"form": {"csrf": "x" * 43}},
        {"headers": {"cookie": ""}},
        {"headers": {"cookie": "baton_csrf="}, "form": {"csrf": ""}},
        {"headers": {"sec-fetch-site": "cross-site"}},
        {"headers": {"sec-fetch-site": "same-site"}},
        {"headers": {"sec-fetch-site": "none"}},
        {"headers": {"sec-fetch-site": None, "origin": "https://attacker.example"}},
        {"headers": {"sec-fetch-site": None, "origin": "null"}},
        {"headers": {"content-type": "text/plain"}},
    ],
    ids=str,
)
async def test_a_form_of_another_site_changes_nothing(
    dsn: str, workflow: Workflow[Any], forged: dict[str, Any]
) -> None:
    app = web.app(dsn, authorize=operator_of)
    forged = {name: dict(value) for name, value in forged.items()}
    answer = await confirmed(app, workflow, **forged)
    assert answer.status in (403, 415)
    assert (await workflow.status()).outcome is None


async def test_a_browser_that_says_nothing_of_where_it_comes_from_is_served(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn, authorize=operator_of)
    headers = {"sec-fetch-site": None, "origin": "http://localhost:4040"}
    assert (await confirmed(app, workflow, headers=headers)).status == 303


@pytest.mark.parametrize("body", [b"a" * 100_000, b"\xff\xfe", b"id=%ff&do=%ff", b"&&&==&"], ids=len)
async def test_a_body_that_is_no_form_is_refused(dsn: str, body: bytes) -> None:
    app = web.app(dsn, authorize=operator_of)
    headers = {**LOCAL, "content-type": "application/x-www-form-urlencoded"}
    assert (await ask(app, "/action", method="POST", body=body, headers=headers)).status in (400, 403, 413)


# --- what every answer has --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/dashboard.js", "/static/nothing.js", "/workflow"])
async def test_every_answer_says_what_a_page_may_load(dsn: str, path: str) -> None:
    answer = await ask(web.app(dsn), path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_page_holds_a_script_or_a_style(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn)
    for path, query in (("/", {}), ("/workflow", {}), ("/step", {"step": "report"}), ("/action", {"do": "cancel"})):
        text = (await ask(app, path, id=workflow.id, **query)).text
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick=" not in text
        assert text.count("<script") == text.count("<script defer src=") == 3


async def test_a_page_that_is_the_same_is_not_sent_again(dsn: str, conn: psycopg.Connection[Any]) -> None:
    app = web.app(dsn)
    first = await ask(app)
    cookie = {"cookie": f"baton_csrf={first.cookies['baton_csrf']}"}
    second = await ask(app, headers={**cookie, "if-none-match": first.headers["etag"]})
    assert (second.status, second.text) == (304, "")
    shop.insert(conn, country="de")
    third = await ask(app, headers={**cookie, "if-none-match": first.headers["etag"]})
    assert third.status == 200


# --- the audit log ----------------------------------------------------------------------------------------------------


async def test_each_action_leaves_a_line_that_says_who_and_what(
    dsn: str, workflow: Workflow[Any], caplog: pytest.LogCaptureFixture
) -> None:
    app = web.app(dsn, authorize=operator_of)
    ada = SimpleNamespace(display_name="ada\nroot did nothing")
    with caplog.at_level(logging.INFO, "baton_dsl.web.audit"):
        await confirmed(app, workflow, "pause", user=ada)
        await confirmed(app, workflow, "resume")
        await confirmed(app, workflow, "pause")
        await confirmed(web.app(dsn, authorize=reader_of), workflow, user=ada)
    assert [record.getMessage() for record in caplog.records] == [
        rf'ada\nroot did nothing at 127.0.0.1 asked to pause workflow "{workflow.id}": done',
        f'127.0.0.1 asked to resume workflow "{workflow.id}": done',
        f'127.0.0.1 asked to pause workflow "{workflow.id}": done',
        r"ada\nroot did nothing at 127.0.0.1 was refused POST /action: has read access only",
    ]


async def test_an_action_that_came_too_late_says_so(dsn: str, workflow: Workflow[Any]) -> None:
    app = web.app(dsn)
    page = await ask(app, "/action", id=workflow.id, do="cancel")
    await workflow.cancel()
    token = page.cookies["baton_csrf"]
    headers = {**LOCAL, "cookie": f"baton_csrf={token}"}
    late = await ask(app, "/action", method="POST", form={"csrf": token}, headers=headers, id=workflow.id, do="cancel")
    assert late.status == 409
    assert "The workflow is cancelled by now." in late.text
