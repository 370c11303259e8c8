"""`baton graph`: draw a flow. Imports no driver and no database code."""

from __future__ import annotations

import click

from baton_dsl.cli import terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import AnyFlow, flow_argument
from baton_dsl.core import render
from baton_dsl.core.drawing import ASCII, Drawing


@click.command("graph")
@click.argument("flow", metavar="MODULE:FLOW", callback=flow_argument)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "ascii", "mermaid", "dot"]),
    default="text",
    show_default=True,
    help="text is for terminals, ascii for those without Unicode, mermaid for GitHub, dot for Graphviz.",
)
def command(flow: AnyFlow, form: str) -> int:
    """Draw a flow, without a database.

    A flow with errors is drawn too: its errors then go to standard error, and the exit code is 2.

    MODULE:FLOW names a module and the variable of the flow in it. The module alone is enough if it has only one flow.

    \b
    Examples:
      baton graph app.flows:billing
      baton graph app.flows:billing --format dot | dot -Tsvg > billing.svg
    """
    spec = flow.spec()
    match form:
        case "mermaid":
            terminal.echo(render.mermaid(spec))
        case "dot":
            terminal.echo(render.dot(spec))
        case _:
            strokes = ASCII if form == "ascii" else terminal.strokes()
            terminal.echo_coloured(terminal.coloured(Drawing.of(spec, width=terminal.width(), strokes=strokes)))
    findings = flow.diagnostics()
    for finding in findings:
        terminal.echo(finding.explain(), err=True)
    return Exit.USAGE if findings else Exit.DONE
