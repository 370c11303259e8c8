"""`baton queue pause` and `resume`: pause or resume a queue, on every node that runs it or on one."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import click
from oban import Oban

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.database import Target
from baton_dsl.cli.exits import FailedError
from baton_dsl.core.diagnostics import did_you_mean
from baton_dsl.core.wording import suggestion_after
from baton_dsl.runtime.database.pools import open_pool
from baton_dsl.runtime.database.prefix import checked_prefix
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.observing.fleet import ServingNode, nodes

PATIENCE: Final = 5.0
"""Seconds to wait for the nodes to pause or resume."""


@click.group("queue")
def command() -> None:
    """Pause a queue, or let it run again. Running jobs continue. baton queues lists all queues."""


@command.command("pause")
@click.argument("name")
@click.option("--node", metavar="NODE", help="Only on this node, by its name in baton nodes; default: on all.")
@database.options
def pause(name: str, node: str | None, dsn: str | None, prefix: str) -> None:
    """Pause a queue: the nodes that run it now start no further job of it. Nodes that start later are not paused.

    \b
    Example:
      baton queue pause mail
    """
    _tell(name, node, dsn, prefix, pauses=True)


@command.command("resume")
@click.argument("name")
@click.option("--node", metavar="NODE", help="Only on this node, by its name in baton nodes; default: on all.")
@database.options
def resume(name: str, node: str | None, dsn: str | None, prefix: str) -> None:
    """Resume a queue: its nodes start jobs again.

    \b
    Example:
      baton queue resume mail
    """
    _tell(name, node, dsn, prefix, pauses=False)


def _tell(name: str, node: str | None, dsn: str | None, prefix: str, *, pauses: bool) -> None:
    done = "paused" if pauses else "resumed"
    with database.opened(dsn, prefix) as target:
        instances = {it.instance for it in _serving(target, name, node)}
        for instance in instances if node is not None else ["baton"]:
            asyncio.run(_send(target, name, node, instance, pauses=pauses))
        latest = time.monotonic() + PATIENCE
        while left := [it for it in _serving(target, name, node) if _is_paused(it, name) is not pauses]:
            if time.monotonic() > latest:
                raise FailedError(
                    f'queue "{name}" is not {done} yet on {", ".join(it.name for it in left)}: they have not answered '
                    f"within {PATIENCE:g} s; see baton nodes"
                )
            time.sleep(0.05)
        served = _serving(target, name, node)
    terminal.echo(f'{done} queue "{name}" on {len(served)} node{"" if len(served) == 1 else "s"}')


def _serving(target: Target, name: str, node: str | None) -> list[ServingNode]:
    """The live nodes that run a queue, or only the named one.

    Raises:
        FailedError: If no such node runs it.
    """
    found = [it for it in read_sync(selection.database_of(target), nodes()) if it.is_alive]
    serving = [it for it in found if any(queue.queue == name for queue in it.queues)]
    if not serving:
        nearest = did_you_mean(name, {queue.queue for it in found for queue in it.queues})
        raise FailedError(f'no node runs queue "{name}"' + suggestion_after(nearest))
    named = [it for it in serving if node in (None, it.name)]
    if not named:
        raise FailedError(f'node "{node}" does not run queue "{name}"; {", ".join(it.name for it in serving)} does')
    return named


def _is_paused(node: ServingNode, name: str) -> bool:
    return all(queue.is_paused for queue in node.queues if queue.queue == name)


async def _send(target: Target, name: str, node: str | None, instance: str, *, pauses: bool) -> None:
    """Send the signal to all nodes as Oban does, from an Oban instance without queues."""
    pool = await open_pool(target.dsn, min_size=1, max_size=1)
    oban = Oban(pool=pool, prefix=checked_prefix(target.prefix), name=instance)
    try:
        await (oban.pause_queue(name, node=node) if pauses else oban.resume_queue(name, node=node))
    finally:
        bridge.forget(oban)
        await pool.close()
