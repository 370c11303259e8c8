"""`baton worker`: a node, or several processes of them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from types import ModuleType

import click
import uvloop

from baton_dsl.cli import database, queues, waiting
from baton_dsl.cli.ages import AGE, written
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import module_arguments
from baton_dsl.runtime import failures, node


@click.command("worker")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True, callback=module_arguments)
@click.option(
    "--queues",
    "-q",
    "limits",
    metavar="NAME:LIMIT,...",
    callback=queues.limits,
    help=f"Which queues to serve, and how many jobs of each at once, as default:20,mail:5; "
    f"default: every queue that the modules name, {queues.LIMIT} jobs each.",
)
@click.option("--processes", "-p", type=click.IntRange(1), default=1, show_default=True, help="So many nodes.")
@click.option(
    "--grace", type=click.FloatRange(0), default=15.0, show_default=True, help="Seconds for running jobs at the end."
)
@click.option(
    "--retain",
    type=AGE,
    metavar="AGE",
    help="Remove workflows that ended longer ago, with their results, as 12h or 30d; default: keep them.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What to tell on standard error.",
)
@database.options
def command(
    modules: list[ModuleType],
    limits: dict[str, int] | None,
    processes: int,
    grace: float,
    retain: timedelta | None,
    log_level: str,
    dsn: str | None,
    prefix: str,
) -> int:
    """Run the steps of workflows, until SIGTERM or Ctrl-C.

    MODULES are those that hold your flows; they are imported at the start, so that an error in them is told at once.
    Jobs that run when the end comes get the time of --grace; what does not finish then is taken up by another node.

    \b
    Example:
      baton worker app.flows --queues default:20,mail:5 --processes 2
    """
    served = limits or queues.limited(set().union(*map(queues.of_module, modules)) or {"default"})
    if dsn is not None and not waiting.until_reachable(dsn):
        return Exit.DONE  # it was told to stop before it could begin
    with database.opened(dsn, prefix, for_workers=True) as target:
        if processes > 1:
            return asyncio.run(_supervise(_arguments(modules, served, grace, retain, log_level), processes, target))
        logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        failures.log_failures()
        uvloop.run(node.serve(target.dsn, queues=served, prefix=target.prefix, grace=grace, retain=retain))
        return Exit.DONE


def _arguments(
    modules: list[ModuleType], limits: dict[str, int], grace: float, retain: timedelta | None, log_level: str
) -> list[str]:
    served = ",".join(f"{name}:{limit}" for name, limit in limits.items())
    options = ["--queues", served, "--grace", str(grace), "--log-level", log_level]
    if retain is not None:
        options += ["--retain", written(retain)]
    return ["worker", *(module.__name__ for module in modules), *options]


async def _supervise(arguments: list[str], processes: int, target: database.Target) -> int:
    """Run so many nodes as processes of their own, and stop all when one ends or a signal comes.

    A node that ends by itself is a fault; whoever supervises this process shall see it and start it again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The DSN may hold a password, so it goes by the environment; a group of its own keeps the terminal's Ctrl-C from
    # reaching a node twice.
    environment = os.environ | {"BATON_DSN": target.dsn, "OBAN_PREFIX": target.prefix}
    command = (sys.executable, "-m", "baton_dsl.cli", *arguments)
    children = [
        await asyncio.create_subprocess_exec(*command, env=environment, process_group=0) for _ in range(processes)
    ]
    ends = [asyncio.create_task(child.wait()) for child in children]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((*ends, stopping), return_when=asyncio.FIRST_COMPLETED)
    failed = not stopping.done()
    stopping.cancel()
    for child in children:
        if child.returncode is None:
            child.terminate()
    codes = await asyncio.gather(*ends)
    return Exit.FAILED if failed else max(codes, key=abs)
