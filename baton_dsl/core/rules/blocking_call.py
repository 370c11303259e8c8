"""BTN308: a call in an async step that stops the event loop."""

from collections.abc import Iterator

from baton_dsl.core.blocking import BLOCKING, IN_A_THREAD
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN308", "baton-blocking-call")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each blocking call of each async step."""
    for step in context.flow.steps:
        for call in step.blocking_calls:
            name = call.name.removeprefix("builtins.")
            yield finding(
                f'"{name}" blocks the event loop, and async step "{step.name}" runs on it with all others',
                help=f"{BLOCKING.get(call.name, IN_A_THREAD)}; or make the step a plain def, which runs in a thread",
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
    is_about_a_step=True,
    doors=frozenset({Door.TEXT}),
)
