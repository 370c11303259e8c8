"""`baton queues`: list the queues, with what waits in each, for how long, and the nodes that run it."""

from __future__ import annotations

import click

from baton_dsl.cli import database, selection, table, terminal
from baton_dsl.core.wording import duration, printable
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.fleet import MOST_COUNTED, QueueStatus, queues


@click.command("queues")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@database.options
def command(as_json: bool, dsn: str | None, prefix: str) -> None:
    """Show each queue: how many jobs are ready, running, waiting for a retry or scheduled, and which nodes run it.

    OLDEST is how long the oldest ready job has waited. All jobs of Oban count, not only steps.
    """
    with database.opened(dsn, prefix) as target:
        found = read_sync(selection.database_of(target), queues())
    if as_json:
        terminal.echo_json(found)
    elif not found:
        terminal.echo("There is no queue: no node runs, and no job waits.", err=True)
    else:
        heads = ("QUEUE", "READY", "OLDEST", "RUNNING", "RETRYING", "SCHEDULED", "SLOTS", "NODES")
        rows = [_cells(queue) for queue in found]
        colours = ["red" if queue.ready and not queue.is_served else "reset" for queue in found]
        terminal.echo_coloured(table.drawn(heads, rows, width=terminal.width(), cut=[0], colours={7: colours}))


def _cells(queue: QueueStatus) -> list[str]:
    return [
        printable(queue.name),
        _counted(queue.ready),
        "" if queue.oldest_ready is None else duration(queue.oldest_ready.total_seconds()),
        f"{queue.running:,}",
        _counted(queue.retrying),
        _counted(queue.scheduled),
        f"{queue.slots:,}",
        _nodes(queue),
    ]


def _nodes(queue: QueueStatus) -> str:
    if not queue.nodes:
        return "none"
    if queue.paused == len(queue.nodes):
        return f"{queue.paused}, paused"
    return f"{len(queue.nodes)}, {queue.paused} paused" if queue.paused else str(len(queue.nodes))


def _counted(number: int) -> str:
    return f"{MOST_COUNTED:,}+" if number > MOST_COUNTED else f"{number:,}"
