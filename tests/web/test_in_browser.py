"""The dashboard in a real browser, on a real database, with a real worker."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import pytest
from playwright.async_api import Browser, Page, expect

from baton_dsl import web
from baton_dsl.core.wording import zone as told
from baton_dsl.runtime.database import silence
from baton_dsl.runtime.workflow import Workflow
from tests.proxy import proxy
from tests.web.conftest import Reader, serving, working
from tests.web.steps import GO, bounded, hostile, shop, summary, wide

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NASTY = "<img src=x onerror=alert(1)>\"'--><script>alert(2)</script>{{7*7}}\u202e\x1b[31m\n&amp;"
"""What would run, break out, turn the line, or be taken for a template, if it were not shown as it is."""


def insert(dsn: str, *flows: Any, **inputs: Any) -> list[Workflow[Any]]:
    with psycopg.connect(dsn) as conn:
        return [flow.insert(conn, **inputs) for flow in flows]


async def ended(*workflows: Workflow[Any]) -> None:
    for workflow in workflows:
        await workflow.wait(timeout=30)


async def test_from_the_list_to_the_error_of_an_item(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, shop, country="de", fail="north")
    async with working(dsn):
        await ended(workflow)
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(address)
        row = page.get_by_role("row", name=re.compile("shop"))
        await expect(row.locator(".badge.is-discarded")).to_be_visible()
        assert await reader.ailments() == []
        await row.get_by_role("link", name="shop").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("shop")
        await expect(page.locator(".why")).to_contain_text("RuntimeError: no route to de-north")
        assert await reader.ailments() == []
        await page.get_by_role("link", name=re.compile(r"^orders\[\]: 1 discarded, 1 completed")).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("orders[]")
        assert await reader.ailments() == []
        await page.get_by_role("link", name="orders[0]").click()
        await expect(page.locator(".code").first).to_contain_text("Traceback (most recent call last)")
        await expect(page.get_by_role("link", name="orders[]")).to_be_visible()
        assert await reader.ailments() == []


async def test_a_workflow_moves_while_one_looks_and_nothing_jumps(dsn: str, reader: Reader) -> None:
    GO["at"] = asyncio.Event()
    (workflow,) = insert(dsn, shop, country="at")
    page = reader.page
    async with serving(web.app(dsn)) as address, working(dsn):
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await expect(page.locator("a.node.is-executing")).to_have_count(1)
        graph = page.locator(".drawing")
        before = await graph.bounding_box()
        await graph.evaluate("it => it.dataset.mine = 'the same element'")
        await page.get_by_role("link", name=re.compile("^regions: executing")).focus()
        GO["at"].set()
        await expect(page.locator("a.node.is-completed")).to_have_count(3, timeout=15000)
        await expect(page.locator("h1")).to_contain_text("completed")
        assert await graph.bounding_box() == before
        assert await page.evaluate("document.activeElement.getAttribute('href')") is not None
        await expect(page.locator("[data-live-state]")).to_have_text("live")
    await expect(page.locator("[data-live-state]")).to_have_text("live")


async def test_a_new_workflow_appears_in_the_list_by_itself(dsn: str, reader: Reader) -> None:
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(address)
        await expect(page.locator(".empty")).to_contain_text("There is no workflow yet.")
        assert await reader.ailments() == []
        insert(dsn, shop, country="de")
        await expect(page.locator("tbody tr")).to_have_count(1, timeout=15000)
        await expect(page.locator(".badge.is-stuck")).to_be_visible()


async def test_times_are_those_of_the_reader(dsn: str, browser: Browser) -> None:
    (workflow,) = insert(dsn, shop, country="de", fail="north")
    async with working(dsn):
        await ended(workflow)
    async with serving(web.app(dsn)) as address:
        for zone, shown in (("Asia/Kathmandu", "GMT+5:45"), ("UTC", "UTC")):
            context = await browser.new_context(timezone_id=zone)
            page = await context.new_page()
            await page.goto(f"{address}/workflow?id={workflow.id}")
            await expect(page.locator(".facts time").first).to_contain_text(shown)
            # The server writes the sentence, and says in which zone.
            await expect(page.locator(".why")).to_contain_text(
                f" {told(datetime.now().astimezone())} in attempt 1 of 1"
            )
            await context.close()


async def confirm(page: Page, action: str, button: str) -> None:
    await page.get_by_role("link", name=f"{action}…").click()
    await expect(page.get_by_role("heading", level=2)).to_have_text("What will happen")
    await page.get_by_role("button", name=button).click()


async def test_pause_resume_cancel_and_retry_do_what_they_say(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, shop, country="de")
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await confirm(page, "Pause", "Pause the workflow")
        await expect(page.locator(".done")).to_have_text("The workflow is paused: no further step starts.")
        assert (await workflow.status()).paused_at is not None
        await confirm(page, "Resume", "Resume the workflow")
        assert (await workflow.status()).paused_at is None
        await page.get_by_role("link", name="Cancel…").click()
        await expect(page.locator("main")).to_contain_text("3 steps that have not started will never run.")
        assert await reader.ailments() == []
        await page.get_by_role("link", name="Go back").click()
        assert (await workflow.status()).outcome is None
        await confirm(page, "Cancel", "Cancel the workflow")
        assert (await workflow.status()).outcome == "cancelled"
        await page.get_by_role("link", name="Retry…").click()
        await expect(page.locator("main")).to_contain_text("3 steps that failed or were cancelled will run again")
        await page.get_by_role("button", name="Retry the workflow").click()
        assert (await workflow.status()).outcome is None
        async with working(dsn):
            await ended(workflow)
        await page.goto(f"{address}/step?id={workflow.id}&step=orders")
        await page.get_by_role("link", name="Retry from here…").click()
        await expect(page.locator("main")).to_contain_text(
            "2 steps will run again: this one and everything downstream."
        )
        await expect(page.locator("main")).to_contain_text("2 steps of these completed: their results will be deleted.")
        await page.get_by_role("button", name="Retry from here").click()
        await expect(page.locator(".done")).to_contain_text("run again")
        assert (await workflow.status()).outcome is None


async def test_a_reader_finds_no_action_and_an_unauthorised_user_nothing(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, shop, country="de")
    page = reader.page
    reader.expected = ["403 (Forbidden)"]
    levels: list[Any] = ["read"]
    async with serving(web.app(dsn, authorize=lambda request: levels[0])) as address:
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await expect(page.get_by_text("read only")).to_be_visible()
        assert await page.get_by_role("link", name="Cancel…").count() == 0
        await page.goto(f"{address}/action?id={workflow.id}&do=cancel")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Read only")
        levels[0] = None
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("No access")
        assert workflow.id not in await page.locator("body").inner_text()
        assert await reader.ailments() == []


async def test_hostile_texts_are_shown_as_they_are(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, hostile, words=NASTY)
    async with working(dsn):
        await ended(workflow)
    with psycopg.connect(dsn) as conn:  # what no flow lets through, somebody may have written by hand
        for statement in (
            "UPDATE workflow_nodes SET step_name = %(it)s WHERE step_name = 'behind'",
            "UPDATE workflow_nodes SET workflow_id = %(it)s, workflow_label = %(it)s, deps = ARRAY[%(it)s]",
            "UPDATE baton_workflows SET workflow_id = %(it)s, workflow_label = %(it)s, flow_name = %(it)s",
            "UPDATE oban_jobs SET tags = ARRAY[%(it)s], attempted_by = ARRAY[%(it)s, %(it)s]",
        ):
            conn.execute(statement, {"it": NASTY})
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(address)
        await expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
        assert await reader.ailments() == []
        await page.locator(".c-name > a").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(r"{{7*7}}\u202e\x1b[31m")
        for name in ("refuse", "echo", NASTY):
            await page.goto(f"{address}/step?{urlencode({'id': NASTY, 'step': name})}")
            await expect(page.get_by_role("heading", level=1)).to_contain_text(name[:60])
            await expect(page.locator("main")).to_contain_text(r"<script>alert(2)</script>{{7*7}}\u202e")
        await page.goto(f"{address}/action?{urlencode({'id': NASTY, 'do': 'retry'})}")
        await page.get_by_role("button", name="Retry the workflow").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("<script>alert(2)</script>")
        assert await page.locator("main img, main script, main iframe").count() == 0
        assert "49" not in await page.locator("h1").inner_text()
        reader.expected = ["404 (Not Found)"]
        for path in ("/?q=", "/?flow=", "/?label=", "/workflow?id=", "/step?id="):
            await page.goto(f"{address}{path}{urlencode({'': NASTY}).removeprefix('=')}")
            assert await page.locator("main img, main script").count() == 0


async def test_it_is_whole_at_400_pixels_and_in_the_dark(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, shop, country="de", fail="north")
    async with working(dsn):
        await ended(workflow)
    page = reader.page
    await page.set_viewport_size({"width": 400, "height": 800})
    await page.emulate_media(color_scheme="dark")
    async with serving(web.app(dsn)) as address:
        for path in (
            "/",
            f"/workflow?id={workflow.id}",
            f"/step?id={workflow.id}&step=orders%5B0%5D",
            f"/action?id={workflow.id}&do=retry",
        ):
            await page.goto(address + path)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert await reader.ailments() == []


@pytest.mark.parametrize("path", ["/ops/workflows", "/öps (1);x/wörk flows"])
async def test_mounted_under_a_path_of_an_application_every_link_holds(dsn: str, reader: Reader, path: str) -> None:
    from fastapi import FastAPI

    api = FastAPI()
    api.mount(path, web.app(dsn))
    (workflow,) = insert(dsn, shop, country="de")
    page = reader.page
    async with serving(api) as address:
        await page.goto(f"{address}{quote(path)}")
        await page.locator(".c-name > a").click()
        await confirm(page, "Cancel", "Cancel the workflow")
        await expect(page).to_have_url(re.compile(re.escape(f"{address}{quote(path)}/workflow?id=")))
        assert (await workflow.status()).outcome == "cancelled"
        await page.get_by_role("link", name="baton").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Workflows")


async def test_the_beginning_of_an_id_leads_to_the_workflow(dsn: str, reader: Reader) -> None:
    first, _ = insert(dsn, shop, shop, country="de")
    page = reader.page
    reader.expected = ["404 (Not Found)"]
    async with serving(web.app(dsn)) as address:
        await page.goto(address)
        await page.get_by_role("searchbox").fill(first.id[:30])
        await page.keyboard.press("Enter")
        await expect(page.locator(".id")).to_have_text(first.id)
        await page.goto(f"{address}/workflow?id={first.id[:32]}")
        await expect(page.locator(".id")).to_have_text(first.id)
        await page.goto(f"{address}/workflow?id=nothing")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
        await page.goto(f"{address}/?q=nothing")
        await expect(page.locator(".empty")).to_contain_text("No workflow matches these filters.")


async def test_a_thousand_steps_are_folded_and_can_be_unfolded_zoomed_and_moved(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, wide(998))
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await expect(page.locator("a.node")).to_have_count(3)
        await expect(page.locator("a.node").nth(1)).to_have_accessible_name(
            re.compile("^998 x part: 998 steps, such as part_0: 998 suspended")
        )
        assert await reader.ailments() == []
        await page.get_by_role("link", name="Unfold 1,000 steps").click()
        await expect(page.locator("a.node")).to_have_count(1000)
        frame = page.locator(".graph")
        wide_before = (await page.locator(".drawing").bounding_box() or {})["width"]
        await frame.focus()
        await page.keyboard.press("+")
        await page.keyboard.press("+")
        assert (await page.locator(".drawing").bounding_box() or {})["width"] > 1.4 * wide_before
        top = await frame.evaluate("it => it.scrollTop")
        await frame.hover()
        await page.mouse.down()
        await page.mouse.move(600, 120, steps=4)
        await page.mouse.up()
        assert await frame.evaluate("it => it.scrollTop") > top
        await expect(page).to_have_url(re.compile("fold=no"))  # the click that ends a drag opens nothing
        await page.get_by_role("button", name="Fit").click()
        assert (await page.locator(".drawing").bounding_box() or {})["width"] == wide_before


async def test_queues_health_and_deploy_tell_what_is_wrong(dsn: str, reader: Reader) -> None:
    insert(dsn, shop, country="de")
    page = reader.page
    async with serving(web.app(dsn, packages=["tests"])) as address:
        await page.goto(f"{address}/queues")
        row = page.get_by_role("row", name=re.compile("^default"))
        await expect(row).to_contain_text("no worker runs it")
        await expect(page.locator(".empty")).to_contain_text("No worker is running, so nothing starts.")
        assert await reader.ailments() == []
        await page.get_by_role("link", name="Deploy").click()
        await expect(page.locator(".done")).to_contain_text("1 running workflow: this code can finish it")
        with psycopg.connect(dsn) as conn:
            conn.execute("UPDATE workflow_nodes SET worker = replace(worker, 'report', 'rapport')")
            conn.execute("UPDATE oban_jobs SET worker = replace(worker, 'report', 'rapport')")
        await page.reload()
        await expect(page.locator(".alarm")).to_contain_text("1 running workflow: this code can't finish 1.")
        await expect(page.locator("section.card")).to_contain_text("shop: report")
        assert await reader.ailments() == []
        await page.goto(f"{address}/queues")
        async with working(dsn):
            await expect(row).to_contain_text("of 10 slots", timeout=15000)
            await expect(page.get_by_role("table", name="Worker processes")).to_contain_text("running")


async def test_health_tells_what_is_wrong_what_waits_and_what_could_be_freed(dsn: str, reader: Reader) -> None:
    workflows = insert(dsn, shop, shop, country="de")
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "UPDATE oban_jobs SET queue = %s, scheduled_at = scheduled_at - interval '3 hours' WHERE id = 1", [NASTY]
        )
        conn.execute("UPDATE workflow_nodes SET worker = replace(worker, 'report', 'rapport')")
    page = reader.page
    async with serving(web.app(dsn, packages=["tests"])) as address:
        await page.goto(address)
        await page.get_by_role("link", name="Health").click()
        found = page.get_by_role("list", name="What was found")
        await expect(found).to_contain_text('Wrong: 1 job could start in queue "default", which no worker runs')
        await expect(found).to_contain_text(
            '2 running workflows need a step of flow "shop" that the code here does not'
        )
        await expect(found).to_contain_text("BTN501")
        facts = page.locator("dl.facts")
        await expect(facts).to_contain_text("3 h 0 min, in queue <img src=x")
        await expect(facts).to_contain_text(re.compile(r"Tables\s*[\d.]+ kB"))
        await expect(facts).to_contain_text("direct")
        rows = page.get_by_role("table", name="Queues in which a job could start").get_by_role("row")
        await expect(rows.nth(1)).to_contain_text("3 h 0 min")
        await expect(rows.nth(2)).to_contain_text(re.compile(r"default.* none", re.DOTALL))
        await expect(page.get_by_role("table", name="Tables")).to_contain_text("workflow_nodes")
        await expect(page.get_by_role("region", name="Storage")).to_contain_text(
            "no workflow ended more than 1 day ago"
        )
        assert await reader.ailments() == []
        async with working(dsn):
            with psycopg.connect(dsn) as conn:
                conn.execute("UPDATE workflow_nodes SET worker = replace(worker, 'rapport', 'report')")
                conn.execute("UPDATE oban_jobs SET queue = 'default'")
            await ended(*workflows)
            with psycopg.connect(dsn) as conn:
                conn.execute(
                    "UPDATE baton_workflows SET settled_at = now() - interval '8 days' WHERE flow_name = 'shop'"
                )
            await page.get_by_role("link", name="Examine again").click()
            await expect(page.locator(".done")).to_have_text("The doctor found nothing wrong.")
            await expect(page.locator("main")).to_contain_text("No job waits: whatever could start has started.")
            freed = page.get_by_role("table", name="What a prune would free").get_by_role("row")
            await expect(freed).to_have_count(2)
            await expect(freed.nth(1)).to_contain_text("baton prune --older-than 7d")
            await page.set_viewport_size({"width": 400, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert await reader.ailments() == []


async def test_what_models_used_and_said_is_shown(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, summary.options(debug=True), words=NASTY)
    async with working(dsn):
        await ended(workflow)
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(f"{address}/workflow?id={workflow.id}")
        usage = page.get_by_role("region", name="Use of models")
        await expect(usage).to_contain_text("2,400 in, 160 out")
        await expect(usage).to_contain_text("0.0084")
        assert await reader.ailments() == []
        await page.goto(f"{address}/step?id={workflow.id}&step=summarize")
        await page.get_by_text("exchange 1").click()
        await expect(page.locator("#capture-1 pre").first).to_contain_text("<script>alert(2)</script>")
        assert await reader.ailments() == []


async def test_a_budget_is_approved_and_the_step_that_waits_for_it_goes_on(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, bounded.options(budget=Decimal(4)), words="any")
    page = reader.page
    reader.expected = ["409 (Conflict)"]
    async with serving(web.app(dsn)) as address, working(dsn):
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await expect(page.locator(".why")).to_contain_text("is left of the budget of 4.00", timeout=15000)
        await page.get_by_role("link", name="Approve a budget…").click()
        await expect(page.locator("main")).to_contain_text("3.00 of 4.00 is spent.")
        assert await reader.ailments() == []
        amount = page.get_by_label("New budget in all, including what is spent")
        await amount.fill("2")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator("main")).to_contain_text("has spent 3.00, more than a budget of 2.00")
        await page.go_back()
        await amount.fill("8.50")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator(".done")).to_contain_text("The budget is approved")
        await ended(workflow)
        await expect(page.get_by_role("region", name="Use of models")).to_contain_text(
            "6.00 of 8.50 spent", timeout=15000
        )


async def test_when_the_server_is_gone_the_page_says_so_and_comes_back(dsn: str, reader: Reader) -> None:
    (workflow,) = insert(dsn, shop, country="de")
    page = reader.page
    reader.expected = ["ERR_", "Failed to fetch", "htmx:"]
    async with serving(web.app(dsn)) as address:
        await page.goto(f"{address}/workflow?id={workflow.id}")
        await page.context.set_offline(True)
        await expect(page.locator("[data-live-state]")).to_have_text("no connection", timeout=15000)
        await expect(page.locator("h1")).to_contain_text("shop")
        await page.context.set_offline(False)
        await expect(page.locator("[data-live-state]")).to_have_text("live", timeout=20000)


@pytest.mark.parametrize("is_cut", [True, False])  # it hangs up, or is just silent
async def test_when_the_database_is_gone_the_page_says_so_and_comes_back(
    dsn: str, reader: Reader, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    monkeypatch.setattr(silence, "GIVE_UP", 3.0)
    (workflow,) = insert(dsn, shop, country="de")
    page = reader.page
    reader.expected = ["503 (Service Unavailable)", "Status Error Code 503", "ERR_", "htmx:"]
    with proxy(dsn) as between:
        async with serving(web.app(between.dsn)) as address:
            await page.goto(f"{address}/workflow?id={workflow.id}")
            await expect(page.locator("[data-live-state]")).to_have_text("live")
            between.black_hole()
            if is_cut:
                between.cut()
            await expect(page.locator("[data-live-state]")).to_have_text("no database", timeout=15000)
            await expect(page.locator("h1")).to_contain_text("shop")  # what was known stays
            other = await page.context.new_page()
            await other.goto(f"{address}/queues")
            await expect(other.get_by_role("heading", level=1)).to_have_text("No database")
            await expect(other.locator("main")).to_contain_text("This page tries again every five seconds.")
            between.heal()
            await expect(page.locator("[data-live-state]")).to_have_text("live", timeout=20000)
            await expect(other.get_by_role("heading", level=1)).to_have_text("Queues", timeout=20000)


async def test_ten_thousand_queues_and_a_label_of_ten_kilobytes_are_shown_in_parts(dsn: str, reader: Reader) -> None:
    with psycopg.connect(dsn) as conn:
        workflow = shop.insert(conn, country="de")
        for table in ("baton_workflows", "workflow_nodes"):
            conn.execute(f"UPDATE {table} SET workflow_label = %s", ["long " * 2000])  # type: ignore[arg-type]
        conn.execute(
            "INSERT INTO oban_jobs (worker, queue) SELECT 'app.Worker', 'queue ' || lpad(number::text, 5, '0') "
            "FROM generate_series(1, 10000) AS number"
        )
    page = reader.page
    async with serving(web.app(dsn)) as address:
        await page.goto(f"{address}/queues")
        rows = page.get_by_role("table", name="Queues that a worker runs").locator("tbody tr")
        await expect(rows).to_have_count(100)
        await page.get_by_role("link", name="More").click()
        await expect(rows.last).to_contain_text("queue 00199")
        await expect(page.get_by_role("navigation", name="Pages of queues")).to_contain_text("101 to 200 of 10,001")
        await page.get_by_role("link", name="Health").click()
        await expect(page.locator("main")).to_contain_text("and 9,981 more queues")
        for path in ("/", f"/workflow?id={workflow.id}", f"/step?id={workflow.id}&step=report"):
            await page.goto(address + path)
            assert len(await page.content()) < 30_000
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert await reader.ailments() == []
