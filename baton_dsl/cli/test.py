"""`baton test`: run a workflow in memory, and print its results."""

from __future__ import annotations

from typing import Any

import click

from baton_dsl.cli import inputs, picture, terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import AnyFlow, flow_argument
from baton_dsl.core.drawing import Drawing
from baton_dsl.core.wording import duration, printable
from baton_dsl.errors import InputError
from baton_dsl.testing.baton import Baton
from baton_dsl.testing.run import Run


@click.command("test")
@click.argument("flow", metavar="MODULE:FLOW", callback=flow_argument)
@click.option(
    "--input",
    "-i",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input. If it accepts str, VALUE is used as it is; else VALUE is JSON.",
)
@click.option("--every", is_flag=True, help="Print the result of every step, not only of the last steps.")
def command(flow: AnyFlow, pairs: tuple[str, ...], every: bool) -> int:
    """Run a workflow of FLOW in memory: without a database, and without waiting for backoffs, snoozes and timeouts.

    The functions of the steps really run, with all that they call. The drawing goes to standard error, the results to
    standard output. Exit code: 0 if the workflow completed, 1 if a step was cancelled or discarded, 2 if the flow or an
    input is wrong.

    MODULE:FLOW names a module and the variable of the flow in it. The module alone is enough if it has only one flow.

    \b
    Example:
      baton test app.flows:billing --input api_key=xyz
    """
    given = inputs.read(flow, pairs)
    with Baton() as baton:
        try:
            run = baton.sync.run(flow, **given)
        except InputError as error:
            raise inputs.in_words_of_the_command_line(error, flow, pairs) from None
        terminal.echo_coloured(_drawn(flow, run), err=True)
        terminal.echo_json(_results(flow, run, every=every))
        terminal.echo(f"{run.outcome} in {duration(run.elapsed.total_seconds())} of virtual time", err=True)
        return Exit.DONE if run.outcome == "completed" else Exit.NOT_COMPLETED


def _drawn(flow: AnyFlow, run: Run) -> str:
    drawing = Drawing.of(flow.spec(), width=terminal.width(), strokes=terminal.strokes())
    now = run.clock.now()
    remarks = {node.step: remark for node in run.nodes if (remark := printable(picture.remark_on(node, now)))}
    return terminal.coloured(drawing, picture.states_of(run.nodes), remarks)


def _results(flow: AnyFlow, run: Run, *, every: bool) -> dict[str, Any]:
    followed = flow.checked().graph.downstreams()
    return {name: value for name, value in run.results.items() if every or not followed[name]}
