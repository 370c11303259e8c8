"""`baton worker`: run the steps of workflows, in one process or several."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterable
from datetime import timedelta
from types import ModuleType

import click
import uvloop

from baton_dsl.cli import database, logging_of_a_worker, queue_limits, waiting
from baton_dsl.cli.ages import AGE, written
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import module_arguments
from baton_dsl.core import defaults
from baton_dsl.runtime.database.pooling import DIRECT, require_session
from baton_dsl.runtime.executing import process
from baton_dsl.runtime.executing.leaving import MOMENT, Leaving

logger = logging.getLogger("baton_dsl.worker")


@click.command("worker")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True, callback=module_arguments)
@click.option(
    "--queues",
    "-q",
    "limits",
    metavar="NAME:LIMIT,...",
    callback=queue_limits.limits,
    help=f"Queues to run, and how many jobs of each at once, such as default:20,mail:5; "
    f"default: every queue that the modules name, {queue_limits.LIMIT} jobs each.",
)
@click.option(
    "--processes", "-p", type=click.IntRange(1), default=1, show_default=True, help="How many worker processes to run."
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Seconds that running jobs get when the worker stops.",
)
@click.option(
    "--retain",
    type=AGE,
    metavar="AGE",
    help="Remove workflows, with their results, that ended longer ago than this, such as 12h or 30d; "
    "default: keep them.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What to log to standard error; info includes the start and the end of each step.",
)
@click.option(
    "--log-format",
    type=click.Choice(logging_of_a_worker.FORMATS),
    default="text",
    show_default=True,
    help="Write each record as a line of text, or as a JSON object with the workflow, step and attempt as fields.",
)
@click.option("--paused", is_flag=True, help="Start with all queues paused: baton queue resume NAME lets them run.")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    envvar="BATON_METRICS_PORT",
    help="Serve /metrics for Prometheus, /healthz and /readyz on this port; with --processes, each further process has "
    "the next port.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on for --metrics-port; in a container 0.0.0.0.",
)
@click.option(
    "--direct-dsn",
    envvar=DIRECT,
    callback=database.read,
    help="The address of the server itself, if --dsn names a pooler in transaction mode. Used for LISTEN, and for the "
    "locks that show that this worker is alive.",
)
@database.options
def command(
    modules: list[ModuleType],
    limits: dict[str, int] | None,
    processes: int,
    grace: float,
    retain: timedelta | None,
    log_level: str,
    log_format: str,
    paused: bool,
    metrics_port: int | None,
    metrics_host: str,
    direct_dsn: str | None,
    dsn: str | None,
    prefix: str,
) -> int:
    """Run the steps of workflows until SIGTERM or Ctrl-C.

    MODULES hold your flows. They are imported first, so that an error in them shows at once. When the worker stops,
    running jobs get --grace seconds; jobs that take longer start again on another worker. A second signal ends
    the worker at once.

    \b
    Example:
      baton worker app.flows --queues default:20,mail:5 --processes 2
    """
    served = limits or queue_limits.limited(set().union(*map(queue_limits.of_module, modules)) or {defaults.QUEUE})
    if dsn is not None and not waiting.until_reachable(dsn):
        return Exit.DONE  # it was asked to stop before it could begin
    with database.opened(dsn, prefix, for_workers=True) as target:
        if direct_dsn is not None:
            os.environ[DIRECT] = direct_dsn  # for the nodes of this process, and for its children
        if dsn is not None:
            require_session(direct_dsn or dsn)
        if processes > 1:
            logging_of_a_worker.set_up(log_level, log_format, runs_steps=False)
            options = ["--queues", ",".join(f"{name}:{limit}" for name, limit in served.items()), "--grace", str(grace)]
            options += ["--log-level", log_level, "--log-format", log_format]
            options += ["--retain", written(retain)] if retain is not None else []
            options += ["--paused"] if paused else []
            options += ["--metrics-host", metrics_host]
            arguments = ["worker", *(module.__name__ for module in modules), *options]
            commands = [
                [*arguments, *(["--metrics-port", str(metrics_port + number)] if metrics_port is not None else [])]
                for number in range(processes)
            ]
            return asyncio.run(_supervise(commands, grace, target))
        logging_of_a_worker.set_up(log_level, log_format)
        leaving = Leaving(grace)
        leaving.watch()
        served_by = process.serve(
            target.dsn,
            queues=served,
            prefix=target.prefix,
            grace=grace,
            retain=retain,
            leaving=leaving,
            is_paused=paused,
            endpoint=None if metrics_port is None else _endpoint(metrics_host, metrics_port, target),
        )
        try:
            uvloop.run(served_by)
        finally:
            leaving.finish()
        return leaving.code


def _endpoint(host: str, port: int, target: database.Target) -> process.Endpoint:
    """Serve metrics from the default registry of prometheus_client, which has those of the application too."""
    metrics = importlib.import_module("baton_dsl.metrics")  # it needs an extra
    metrics.install(dsn=target.dsn, prefix=target.prefix)
    return process.Endpoint(host, port, metrics.exposition)


async def _supervise(commands: list[list[str]], grace: float, target: database.Target) -> int:
    """Run each command as a process, and stop all of them when one ends or a signal comes.

    A process that ends by itself is a fault: this process then ends too, so that its supervisor can start it again. A
    signal is passed on to every process. A second signal kills them, and so does the end of the grace.
    """
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    # The DSN may hold a password, so it is passed in the environment. A process group of its own keeps the terminal's
    # # Ctrl-C from reaching a node twice.
    environment = os.environ | {"BATON_DSN": target.dsn, "OBAN_PREFIX": target.prefix}
    environment.pop("BATON_METRICS_PORT", None)
    start = (sys.executable, "-m", "baton_dsl.cli")
    children = [
        await asyncio.create_subprocess_exec(*start, *command, env=environment, process_group=0) for command in commands
    ]
    ends = [asyncio.create_task(child.wait()) for child in children]
    asked = asyncio.create_task(signals.get())
    await asyncio.wait((*ends, asked), return_when=asyncio.FIRST_COMPLETED)
    first = next((end.result() for end in ends if end.done()), None) if not asked.done() else None
    if first is not None:
        for child in children:
            if child.returncode is not None:
                logger.error("process %d %s; the other processes stop", child.pid, _end_of(child.returncode))
    asked.cancel()
    _send(children, signal.SIGTERM)
    again = asyncio.create_task(signals.get())
    all_ended = asyncio.gather(*ends)
    await asyncio.wait((all_ended, again), timeout=grace + 2 * MOMENT, return_when=asyncio.FIRST_COMPLETED)
    is_asked_again = again.done()
    if is_asked_again:
        _send(children, signal.SIGTERM)
        await asyncio.wait([all_ended], timeout=MOMENT)
    again.cancel()
    for child in children:
        if child.returncode is None:
            logger.error(
                "process %d did not end within %g s and is killed: its steps start elsewhere", child.pid, grace
            )
    _send(children, signal.SIGKILL)  # for processes that can't end themselves, such as a stopped one
    codes = await all_ended
    if first is not None:
        return first if first == Exit.THREADS_LOST else Exit.FAILED
    ended = [128 - code if code < 0 else code for code in codes]
    if not is_asked_again:  # a node that was still starting is killed by the signal, which is what was asked
        ended = [0 if code == 128 + signal.SIGTERM else code for code in ended]
    return max(ended)


def _end_of(code: int) -> str:
    """How a process ended, from its return code in asyncio."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _send(children: Iterable[asyncio.subprocess.Process], number: int) -> None:
    for child in children:
        if child.returncode is None:
            child.send_signal(number)
