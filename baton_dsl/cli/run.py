"""`baton run`: insert a workflow, follow it, and print its results."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from baton_dsl.cli import database, execution, inputs, picture, queue_limits, terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import AnyFlow, flow_argument
from baton_dsl.core.wording import last_exception
from baton_dsl.errors import InputError
from baton_dsl.runtime.workflow import NodeStatus, Workflow


@click.command("run")
@click.argument("flow", metavar="MODULE:FLOW", callback=flow_argument)
@click.option(
    "--input",
    "-i",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input. If it accepts str, VALUE is used as it is; else VALUE is JSON.",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="How many seconds to wait for the end.")
@click.option(
    "--worker/--no-worker",
    "works",
    default=None,
    help="Whether this process runs steps too. By default it does so only on the embedded database, because another "
    "one may hold jobs of other people.",
)
@click.option(
    "--queues",
    "-q",
    "limits",
    metavar="NAME:LIMIT,...",
    callback=queue_limits.limits,
    help="Queues to run, if this process runs steps; default: the flow's queues, 10 jobs of each at once.",
)
@click.option("--every", is_flag=True, help="Print the result of every step, not only of the last steps.")
@database.options
def command(
    flow: AnyFlow,
    pairs: tuple[str, ...],
    timeout: float | None,
    works: bool | None,
    limits: dict[str, int] | None,
    every: bool,
    dsn: str | None,
    prefix: str,
) -> int:
    """Insert a workflow of FLOW, follow it, and print its results as JSON.

    The drawing goes to standard error, the results to standard output. Exit code: 0 if the workflow completed, 1 if
    a step was cancelled or discarded, 2 if the flow or an input is wrong, 3 if it did not end in time.

    MODULE:FLOW names a module and the variable of the flow in it. The module alone is enough if it has only one flow.

    \b
    Example:
      baton run app.flows:billing --input api_key=xyz --input 'regions=["eu", "us"]' | jq .report
    """
    inputs.read(flow, pairs)  # report wrong usage before a server is started
    with database.opened(dsn, prefix) as target:
        working = target.is_embedded if works is None else works
        served = (limits or queue_limits.limited(queue_limits.of_flow(flow))) if working else {}
        return asyncio.run(_run(flow, pairs, target, served, timeout, every=every))


async def _run(
    flow: AnyFlow,
    pairs: Sequence[str],
    target: database.Target,
    served: dict[str, int],
    patience: float | None,
    *,
    every: bool,
) -> int:
    given = inputs.read(flow, pairs)
    try:
        workflow = await execution.insert(flow, given, target)
    except InputError as error:
        raise inputs.in_words_of_the_command_line(error, flow, pairs) from None
    terminal.echo(f"workflow {workflow.id}", err=True)
    try:
        status = await execution.see_through(workflow, target, queues=served, patience=patience)
    except (click.Abort, asyncio.CancelledError, TimeoutError):
        terminal.echo(
            f"The workflow stays in the database. See what it is waiting for: baton why {workflow.id}", err=True
        )
        raise
    terminal.echo_json(await _results(flow, workflow, every=every))
    if status.outcome != "completed":
        for said in _errors(await workflow.nodes()):
            terminal.echo(said, err=True)
        terminal.echo(f"  help: why, in a sentence: baton why {workflow.id}", err=True)
        terminal.echo(f"  help: each attempt with its traceback: baton show {workflow.id} STEP", err=True)
    terminal.echo(f"{status.outcome} in {picture.lasted(status)}", err=True)
    return Exit.DONE if status.outcome == "completed" else Exit.NOT_COMPLETED


def _errors(found: Sequence[NodeStatus]) -> Iterator[str]:
    """The whole errors of the steps that failed by themselves: the drawing cuts them."""
    for node in found:
        if node.error and node.state in ("discarded", "cancelled") and not node.error.startswith("BTN507"):
            yield f"{node.step}: {textwrap.indent(_whole(node.error).strip(), '  ').strip()}"


def _whole(error: str) -> str:
    """The exception with all lines of its text, without the traceback before it."""
    raised = last_exception(error)
    return (error[error.rfind(raised) :] if raised in error else raised)[:4000]


async def _results(flow: AnyFlow, workflow: Workflow[str], *, every: bool) -> dict[str, Any]:
    results = await workflow.results()
    followed = flow.checked().graph.downstreams()
    return {name: value for name, value in results.items() if every or not followed[name]}
