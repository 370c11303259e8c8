"""A dashboard on a separate port, and a real browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio
import uvicorn
from oban import Oban
from playwright.async_api import Browser, Page, async_playwright
from psycopg_pool import AsyncConnectionPool

from baton_dsl.runtime.oban import bridge
from tests.chromium import chromium

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")

type Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for the whole run."""
    async with async_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        opened = await playwright.chromium.launch(executable_path=chromium(), args=sandbox)
        yield opened
        await opened.close()


class Reader:
    """A user at a browser: a page, and all errors on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.expected: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"a dialog: {dialog.message}"))
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not any(text in message.text for text in self.expected):
            self.problems.append(message.text)

    async def ailments(self) -> list[str]:
        """What axe finds wrong for people who don't see or don't use a mouse."""
        await self.page.evaluate(AXE)
        found: list[str] = await self.page.evaluate(
            """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.map(
                it => `${it.id}: ${it.help}: ${it.nodes.slice(0, 3).map(n => n.target + " " + n.failureSummary)}`
            )"""
        )
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def reader(browser: Browser) -> AsyncIterator[Reader]:
    """A page of a fresh browser profile; any error on it fails the test, also a violated content policy."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    reading = Reader(await context.new_page())
    yield reading
    await context.close()
    assert reading.problems == []


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve an application on a free port; its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, timeout_graceful_shutdown=5, **options
    )
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    served = asyncio.create_task(server._serve([listening]))
    while not server.started:
        assert not served.done()
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await served


@asynccontextmanager
async def working(dsn: str, **queues: int) -> AsyncIterator[Oban]:
    """A real worker on a database."""
    async with AsyncConnectionPool(dsn, min_size=1, max_size=10, open=False) as pool:
        instance = Oban(pool=pool, queues=queues or {"default": 10})
        try:
            async with instance:
                yield instance
        finally:
            bridge.forget(instance)
