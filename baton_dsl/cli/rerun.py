"""`baton rerun`: insert workflows again."""

from __future__ import annotations

from dataclasses import replace

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.models_option import models_option
from baton_dsl.cli.target import AnyFlow, flow_argument
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.rerun import rerun_sync


@click.command("rerun")
@selection.many
@click.argument("flow", metavar="MODULE:FLOW", callback=flow_argument)
@click.option(
    "--model",
    "models",
    metavar="STEP=MODEL",
    multiple=True,
    callback=models_option,
    help="Run this step with that model; *=MODEL is for all steps without a model of their own.",
)
@database.options
def command(
    selected: selection.Selection,
    flow: AnyFlow,
    models: dict[str, str],
    dsn: str | None,
    prefix: str,
) -> None:
    """Insert workflows of FLOW again: with the current code, and with their old inputs and labels.

    The old workflows stay as they are. If the flow no longer accepts the inputs of one of them, none is inserted.

    MODULE:FLOW names a module and the variable of the flow in it. The module alone is enough if it has only one flow.

    \b
    Examples:
      baton rerun 01932c07 app.flows:billing
      baton rerun 01932c07 app.flows:billing --model parse=openai:gpt-5-mini
      baton rerun app.flows:billing --outcome discarded --newer-than 1d
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        common = selected.common
        if common.given:
            selected = replace(selected, common=replace(common, flow=common.flow or flow.name))
        chosen = selection.chosen(where, "rerun", selected, applies=lambda _: True)
        if models:
            flow = flow.options(models={**flow.settings.models, **models})
        inserted = rerun_sync(where, WorkflowFilter(ids=chosen), flow)
    for old, new in inserted.items():
        terminal.echo(f"workflow {new}, a rerun of {old}")
