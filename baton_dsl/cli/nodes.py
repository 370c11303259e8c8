"""`baton nodes`: list the processes that run steps."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from baton_dsl.cli import database, moments, selection, table, terminal
from baton_dsl.core.wording import duration, printable
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.fleet import ServingNode, nodes


@click.command("nodes")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.option("--utc", "in_utc", is_flag=True, help="Show the time at which each began, in UTC, instead of its age.")
@database.options
def command(as_json: bool, in_utc: bool, dsn: str | None, prefix: str) -> None:
    """Show the processes that run steps: the queues that each serves, how many steps it runs, and the limit.

    A process that is gone stays in the list for about a minute. Meanwhile, another process starts its steps again.
    """
    with database.opened(dsn, prefix) as target:
        found = read_sync(selection.database_of(target), nodes())
    if as_json:
        terminal.echo_json(found)
    elif not found:
        terminal.echo("No worker runs; start one: baton worker MODULE", err=True)
    else:
        heads = ("NODE", "STATE", "SINCE" if in_utc else "UP", "QUEUES")
        now = datetime.now(UTC)
        rows = [(printable(it.name), _state(it), _since(it, now, in_utc), _queues(it)) for it in found]
        colours = ["red" if not it.is_alive else "yellow" if _state(it) != "runs" else "green" for it in found]
        terminal.echo_coloured(table.drawn(heads, rows, width=terminal.width(), cut=[0, 3], colours={1: colours}))


def _state(node: ServingNode) -> str:
    if not node.is_alive:
        return "gone"
    if node.is_leaving:
        return "stops"
    if node.lost_threads:
        return f"{node.lost_threads} lost thread{'' if node.lost_threads == 1 else 's'}"
    return "paused" if all(queue.is_paused for queue in node.queues) else "runs"


def _since(node: ServingNode, now: datetime, in_utc: bool) -> str:
    if node.started_at is None:
        return ""
    return moments.text(node.started_at, in_utc=True) if in_utc else duration((now - node.started_at).total_seconds())


def _queues(node: ServingNode) -> str:
    return ", ".join(
        f"{printable(queue.queue)} {queue.running}/{queue.limit}{' paused' if queue.is_paused else ''}"
        for queue in node.queues
    )
