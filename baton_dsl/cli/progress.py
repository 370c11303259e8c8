"""Show the progress of a workflow: a drawing that changes in a terminal, or one line for each change in a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, Protocol

import click

from baton_dsl.cli import picture, terminal
from baton_dsl.core.drawing import Drawing
from baton_dsl.core.wording import printable
from baton_dsl.runtime.workflow import NodeStatus, Workflow, WorkflowStatus

try:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text
except ImportError:  # the extra `cli` is not installed: print lines instead
    HAS_RICH = False
else:
    HAS_RICH = True

PAUSE: Final = 0.15
"""Seconds between two queries for the progress."""
PATIENCE: Final = 5.0
"""Seconds without any attempt after which the user is told that no worker seems to run."""


class Progress(Protocol):
    """Shows the progress of a workflow on standard error, because standard output is for results."""

    def show(self, nodes: Sequence[NodeStatus]) -> None:
        """Show the nodes as they are now."""

    def say(self, sentence: str) -> None:
        """Print a sentence without disturbing what is shown."""

    def close(self) -> None:
        """Leave the last picture on the screen."""


class Lines:
    """A line for each change that matters."""

    SHOWN: Final = frozenset({"executing", "retryable", "completed", "skipped", "cancelled", "discarded"})

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}

    def show(self, nodes: Sequence[NodeStatus]) -> None:
        """Print what has changed."""
        remarks = picture.remarks_on(nodes)
        for node in nodes:
            now = (node.state, node.attempt)
            if node.state in self.SHOWN and self._seen.get(node.step) != now:
                remark = f"  {remarks[node.step]}" if node.state != "executing" and node.step in remarks else ""
                terminal.echo(f"{node.state:<9}  {node.step}{remark}", err=True)
            self._seen[node.step] = now

    def say(self, sentence: str) -> None:
        """Print the sentence."""
        terminal.echo(sentence, err=True)

    def close(self) -> None:
        """Do nothing: the lines stay on the screen."""


class Picture:
    """The graph, redrawn in the same place."""

    def __init__(self) -> None:
        self._strokes = terminal.strokes(sys.stderr)  # looked up before rich replaces standard error
        self._live = Live(console=Console(file=sys.stderr), auto_refresh=False, vertical_overflow="crop")
        self._drawing: Drawing | None = None
        self._live.start()

    def show(self, nodes: Sequence[NodeStatus]) -> None:
        """Redraw the nodes."""
        if self._drawing is None:
            self._drawing = Drawing.of(
                picture.graph_of("", nodes),
                width=terminal.width(),
                height=terminal.height() - 3,
                strokes=self._strokes,
            )
        drawn = terminal.coloured(self._drawing, picture.states_of(nodes), picture.remarks_on(nodes))
        text = Text.from_ansi(drawn, no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)

    def say(self, sentence: str) -> None:
        """Print the sentence above the drawing."""
        self._live.console.print(printable(sentence), highlight=False, markup=False)

    def close(self) -> None:
        """Leave the last drawing on the screen."""
        self._live.stop()


def shown() -> Progress:
    """The kind of progress that standard error can show."""
    return Picture() if HAS_RICH and terminal.is_live(sys.stderr) else Lines()


async def follow(
    workflow: Workflow[str],
    progress: Progress,
    *,
    patience: float | None = None,
    node: asyncio.Task[None] | None = None,
) -> WorkflowStatus:
    """Show a workflow until it ends.

    Args:
        workflow: The workflow.
        progress: What shows it.
        patience: The most seconds to wait.
        node: The task of a node in this process, if there is one. When it ends, there is nothing more to follow.

    Raises:
        WorkflowTimeoutError: If it does not end in time.
        click.Abort: If the node was asked to stop.
    """
    loop = asyncio.get_running_loop()
    alone = loop.time() + PATIENCE if node is None else None
    ending = asyncio.ensure_future(workflow.wait(patience))
    try:
        while not ending.done():
            nodes = await workflow.nodes()
            progress.show(nodes)
            if alone is not None and (any(it.attempted_at or it.settled_at for it in nodes) or loop.time() > alone):
                if loop.time() > alone:
                    progress.say("No worker has taken a job yet; start one: baton worker MODULE")
                alone = None
            await asyncio.wait({ending, node} if node else {ending}, timeout=PAUSE, return_when="FIRST_COMPLETED")
            if node is not None and node.done() and not ending.done():
                node.result()
                raise click.Abort
        progress.show(await workflow.nodes())
        return ending.result()
    finally:
        progress.close()
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
