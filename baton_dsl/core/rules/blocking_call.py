"""BTN308: a call in an async step that stops the event loop."""

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN308", "baton-blocking-call")

_HTTP: Final = "await an asynchronous client, such as httpx.AsyncClient"
_PROCESS: Final = "await asyncio.create_subprocess_exec(...)"
_THREAD: Final = "await asyncio.to_thread(...)"

BLOCKING: Final[dict[str, str]] = {
    "time.sleep": "await asyncio.sleep(...)",
    **{
        f"{module}.{verb}": _HTTP
        for module in ("requests", "httpx")
        for verb in ("get", "post", "put", "patch", "delete", "head", "options", "request")
    },
    "urllib.request.urlopen": _HTTP,
    "urllib.request.urlretrieve": _HTTP,
    **{
        f"subprocess.{name}": _PROCESS
        for name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput")
    },
    **{f"os.{name}": _PROCESS for name in ("system", "popen", "wait", "waitpid")},
    "socket.create_connection": "await asyncio.open_connection(...)",
    "socket.getaddrinfo": "await asyncio.get_running_loop().getaddrinfo(...)",
    "socket.gethostbyname": "await asyncio.get_running_loop().getaddrinfo(...)",
    "psycopg.connect": "await psycopg.AsyncConnection.connect(...)",
    "psycopg2.connect": "await psycopg.AsyncConnection.connect(...)",
    "sqlite3.connect": _THREAD,
    "shutil.copytree": _THREAD,
    "shutil.rmtree": _THREAD,
    "shutil.make_archive": _THREAD,
    "builtins.input": _THREAD,
}
"""Calls that wait without giving way, by full name, each with what to do instead."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each blocking call of each async step."""
    for step in context.flow.steps:
        for call in step.blocking_calls:
            name = call.name.removeprefix("builtins.")
            yield finding(
                f'"{name}" blocks the event loop, and async step "{step.name}" runs on it with all others',
                help=f"{BLOCKING.get(call.name, _THREAD)}; or make the step a plain def, which runs in a thread",
                step=step.name,
                place=call.place,
            )


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="`time.sleep`, `requests.get`, `subprocess.run` and the like in an async step",
    why=(
        "All async steps of a worker share one event loop. A call that waits without `await` stops every other step, "
        "the heartbeats and the shutdown with it. A plain `def` runs in a thread and may block."
    ),
    bad=(
        Example(
            """\
import subprocess as sp
from time import sleep

import requests

from baton_dsl import Flow, step

@step
async def poll() -> int:
    sleep(1)
    for url in ("https://a.example", "https://b.example"):
        if requests.get(url).ok:
            return 1
    return sp.run(["true"]).returncode

shop = Flow("shop", poll)
""",
            (
                '10:5: BTN308: "time.sleep" blocks the event loop, and async step "poll" runs on it with all others',
                '12:12: BTN308: "requests.get" blocks the event loop, and async step "poll" runs on it with all others',
                (
                    '14:12: BTN308: "subprocess.run" blocks the event loop, '
                    'and async step "poll" runs on it with all others'
                ),
            ),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
import asyncio
import time

from baton_dsl import Flow, step

@step
def in_a_thread() -> None:
    time.sleep(1)

@step
async def on_the_loop() -> None:
    def work() -> None:
        time.sleep(1)

    await asyncio.to_thread(work)
    await asyncio.to_thread(lambda: time.sleep(1))
    await asyncio.to_thread(time.sleep, 1)

shop = Flow("shop", in_a_thread, on_the_loop)
"""
        ),
    ),
    run=run,
    doors=frozenset({Door.TEXT}),
)
