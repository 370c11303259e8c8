"""`baton debug`: show what a step exchanged with models."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.core.wording import printable, printable_lines
from baton_dsl.llm.reports import Capture
from baton_dsl.runtime.workflow import Workflow


@click.command("debug")
@click.argument("workflow_id", metavar="ID")
@click.argument("step", metavar="STEP")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only this attempt.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each exchange, in an array.")
@database.options
def command(workflow_id: str, step: str, attempt: int | None, as_json: bool, dsn: str | None, prefix: str) -> None:
    """Show what a step sent to models and what came back, attempt by attempt.

    Exchanges are stored only for workflows that were inserted with debug=True. STEP is a step, or an item of a map such
    as "orders[3]". Secrets were removed before anything was stored. "baton show" has inputs and results.

    \b
    Example:
      baton debug 01932c07 summarize --attempt 2
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        workflow = Workflow(selection.full_id(where, workflow_id), database=where)
        found = [it for it in workflow.sync.captures(step) if attempt in (None, it.attempt)]
    if as_json:
        terminal.echo_json([{**dataclasses.asdict(it), "captured_at": it.captured_at.isoformat()} for it in found])
        return
    if not found:
        terminal.echo(
            "Nothing was captured. Insert the workflow with debug=True, and call context.capture(...).", err=True
        )
        return
    for capture in found:
        for line in _lines(capture):
            terminal.echo(line)


def _lines(capture: Capture) -> list[str]:
    model = f", {printable(capture.model)}" if capture.model else ""
    head = f"{printable(capture.node)}: attempt {capture.attempt}, exchange {capture.number}{model}"
    lines = [f"{head}, {capture.captured_at.astimezone():%Y-%m-%d %H:%M:%S}"]
    for name in ("request", "response"):
        value = getattr(capture, name)
        if value is not None:
            lines += [f"  {name}:", *_told(value)]
    if capture.error is not None:
        lines += ["  error:", *_told(capture.error)]
    return lines


def _told(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return [f"    {line}" for line in printable_lines(text).split("\n")]
