"""Makes the screenshots of the documentation: `make screenshots`."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright
from psycopg import AsyncConnection

from baton_dsl import web
from baton_dsl.runtime import schema
from baton_dsl.runtime.embedded import serve
from tests.web.conftest import serving, working
from tests.web.pictured import closing, fulfilment

IMAGES = Path(__file__).parents[2] / "docs" / "images"


async def take(dsn: str) -> None:
    """Run some orders, and look at them."""
    async with await AsyncConnection.connect(dsn) as conn:
        await closing.insert(conn, day="2026-11-24")
        done = [await fulfilment.options(workflow_name=f"order {n}").insert(conn, number=n) for n in range(4700, 4708)]
        declined = await fulfilment.options(workflow_name="order 4708").insert(conn, number=4708, declined=True)
        await conn.commit()
        async with working(dsn, default=6, mail=2):
            for workflow in (*done, declined):
                await workflow.wait(timeout=60)
        waiting = await fulfilment.options(workflow_name="order 4709").insert(conn, number=4709)
        paused = await fulfilment.options(workflow_name="order 4710").insert(conn, number=4710)
        await conn.commit()
        await paused.pause()
        await conn.execute(
            "UPDATE baton_workflows SET settled_at = now() - interval '8 days' WHERE flow_name = 'closing'"
        )
        await conn.commit()
        async with working(dsn, default=6), asyncio.timeout(60):  # nobody sends mail
            while (await waiting.status()).counts.get("completed", 0) < 7:
                await asyncio.sleep(0.1)
            async with async_playwright() as playwright, serving(web.app(dsn, packages=["tests"])) as address:
                chromium = shutil.which("chromium")
                sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
                browser = await playwright.chromium.launch(executable_path=chromium, args=sandbox)
                views = {
                    "dashboard-list": ("/", 1180, 760, "light"),
                    "dashboard-workflow": (f"/workflow?id={declined.id}", 1180, 980, "light"),
                    "dashboard-dark": (f"/workflow?id={waiting.id}", 1180, 760, "dark"),
                    "dashboard-step": (f"/step?id={declined.id}&step=charge", 1180, 760, "light"),
                    "dashboard-confirm": (f"/action?id={declined.id}&do=retry", 1180, 480, "light"),
                    "dashboard-queues": ("/queues", 1180, 460, "light"),
                    "dashboard-health": ("/health", 1180, 800, "light"),
                }
                for name, (path, width, height, scheme) in views.items():
                    context = await browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC"
                    )
                    page = await context.new_page()
                    await page.goto(address + path)
                    await page.wait_for_timeout(200)
                    await page.screenshot(path=IMAGES / f"{name}.png")
                    await context.close()
                await browser.close()


def main() -> None:
    """Take them all, on a database of their own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with serve(Path(folder) / "postgres") as dsn:
            schema.install(dsn)
            asyncio.run(take(dsn))


if __name__ == "__main__":
    main()
