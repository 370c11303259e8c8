"""`baton show`: show everything about a workflow, or about one step of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import click

from baton_dsl.cli import database, moments, picture, selection, terminal
from baton_dsl.cli.status import headline
from baton_dsl.cli.usage import as_json_object
from baton_dsl.core.drawing import columns
from baton_dsl.core.items import step_of
from baton_dsl.core.tracebacks import folded
from baton_dsl.core.wording import duration, money, printable, printable_lines
from baton_dsl.llm.reports import Totals, WorkflowUsage
from baton_dsl.runtime.database.snapshot import Reading, read_sync
from baton_dsl.runtime.observing.record import WHOLE, Attempt, NodeRecord, Taken, record
from baton_dsl.runtime.observing.stored import MOST, StoredJson
from baton_dsl.runtime.observing.workflow_record import WorkflowRecord, workflow_record
from baton_dsl.runtime.usage.reports import usage_of_workflow

LINE: Final = 2000
"""How many characters of a value are shown without `--full`."""


@click.command("show")
@click.argument("workflow_id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@click.option("--full", is_flag=True, help="Show values and tracebacks whole.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON; values are whole.")
@moments.utc
@database.options
def command(
    workflow_id: str, step: str | None, full: bool, as_json: bool, in_utc: bool, dsn: str | None, prefix: str
) -> None:
    """Show everything about a workflow: its inputs, its steps, their results, and what it is waiting for.

    With STEP, or an item such as orders[3]: its inputs, the results it takes from other steps, its own result, each
    attempt with its traceback, and what it is waiting for. --full also shows the frames of baton-dsl and Oban.

    \b
    Examples:
      baton show 01932c07-f3ab
      baton show 01932c07-f3ab charge
      baton show 01932c07-f3ab 'orders[3]' --json
    """
    most = WHOLE if full or as_json else MOST
    zone = UTC if in_utc else None
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        found_id = selection.full_id(where, workflow_id)
        if step is None:
            whole, used = read_sync(
                where, _with_usage(workflow_record(found_id, most=most, preview=most, zone=zone), found_id)
            )
            if as_json:
                terminal.echo_json({**_workflow_as_json(whole), "usage": as_json_object(used.total)})
            else:
                terminal.echo_coloured(_workflow(whole, used, full=full, in_utc=in_utc))
            return
        found, used = read_sync(where, _with_usage(record(found_id, step, most=most, zone=zone), found_id))
    totals = used.steps.get(step_of(found.node.step), Totals())  # the items of a map count together
    if as_json:
        terminal.echo_json({**_node_as_json(found), "usage": as_json_object(totals)})
    else:
        terminal.echo_coloured(_node(found, totals, full=full, in_utc=in_utc))


def _with_usage[T](reading: Reading[T], workflow_id: str) -> Reading[tuple[T, WorkflowUsage]]:
    """A reading, extended by the usage of the workflow's calls of models, in the same snapshot."""
    found = yield from reading
    return found, (yield from usage_of_workflow(workflow_id))


# --- a workflow ------------------------------------------------------------------------------------------------------


def _workflow(whole: WorkflowRecord, used: WorkflowUsage, *, full: bool, in_utc: bool) -> str:
    status = whole.status
    rows = [("inserted", moments.text(status.inserted_at, in_utc=in_utc))]
    rows += [("settled", moments.text(status.settled_at, in_utc=in_utc))] if status.settled_at else []
    rows += [("paused", moments.text(status.paused_at, in_utc=in_utc))] if status.paused_at else []
    rows += [("cancelled", moments.text(status.stopped_at, in_utc=in_utc))] if status.stopped_at else []
    rows += [("flow", printable(status.flow))] if status.flow != status.name else []
    rows += [("usage", _used(used.total))] if used.total.calls else []
    rows += (
        [("budget", f"{money(used.spent or Decimal(0))} of {money(used.budget)}")] if used.budget is not None else []
    )
    inputs = whole.inputs.value
    given = inputs if isinstance(inputs, dict) else {"": inputs}
    lines = [
        headline(status, whole.standing),
        *_table(rows),
        *_section("inputs", _table((printable(name), _json(value, full)) for name, value in given.items())),
        *_section("steps", _steps(whole, full)),
        "",
        printable(whole.why),
    ]
    failed = [node.step for node in whole.nodes if node.error and node.state in ("discarded", "retryable")]
    if failed:
        lines.append(
            f"  help: its attempts with their tracebacks: baton show {printable(status.id)} {printable(failed[0])}"
        )
    return "\n".join(lines)


def _steps(whole: WorkflowRecord, full: bool) -> Iterator[str]:
    glyphs, now = terminal.strokes().states, datetime.now(UTC)
    names = max((columns(node.step) for node in whole.nodes), default=0)
    for node in whole.nodes:
        glyph = click.style(glyphs.get(node.state, "?"), fg=terminal.COLOURS.get(node.state))
        name = printable(node.step)
        remark = printable(picture.remark_on(node, now))
        state = click.style(node.state, fg=terminal.COLOURS.get(node.state))
        said = f"  {glyph} {name}{' ' * (names - columns(name))}  {state}{f', {remark}' if remark else ''}"
        yield said
        result = whole.results.get(node.step)
        if result is not None:
            yield textwrap.indent(_stored(result, full), "      ")


def _workflow_as_json(whole: WorkflowRecord) -> dict[str, Any]:
    return {
        "workflow": whole.status,
        "standing": whole.standing,
        "inputs": whole.inputs.value,
        "fingerprint": whole.fingerprint,
        "nodes": whole.nodes,
        "results": {name: result.value for name, result in whole.results.items()},
        "why": whole.why,
    }


# --- a node ----------------------------------------------------------------------------------------------------------


def _node(found: NodeRecord, used: Totals, *, full: bool, in_utc: bool) -> str:
    node = found.node
    state = click.style(node.state, fg=terminal.COLOURS.get(node.state), bold=True)
    tried = f", attempt {node.attempt} of {node.max_attempts}" if node.attempt else ""
    rows = [("workflow", f"{printable(found.workflow_id)} of flow {printable(found.flow)}")]
    rows += [("item of", printable(found.part_of))] if found.part_of else []
    rows += [("queue", printable(node.queue))] if node.queue else []
    rows += [("model", printable(found.model))] if found.model else []
    rows += [("job", str(found.job_id) + (", which Oban has pruned" if found.is_job_gone else ""))]
    rows += [("items", ", ".join(f"{count:,} {name}" for name, count in node.items.items()))] if node.items else []
    rows += [("usage", _used(used) + (" by all items" if found.part_of else ""))] if used.calls else []
    rows += [("crashes", str(found.crashes))] if found.crashes else []
    rows += [("snoozes", str(found.snoozes))] if found.snoozes else []
    lines = [f"{click.style(printable(node.step), bold=True)}  {state}{tried}", *_table(rows), "", printable(found.why)]
    if found.inputs is None:
        lines += ["", "Its inputs were pruned with its job; baton show ID shows those of the whole workflow."]
    else:
        lines += _section("inputs", _table((printable(it), _stored(value, full)) for it, value in found.inputs.items()))
    lines += _section("takes", _table((printable(taken.step), _take(taken, full)) for taken in found.takes))
    if found.result is not None:
        lines += ["", click.style("result", bold=True), textwrap.indent(_stored(found.result, full), "  ")]
    lines += _section("attempts", _attempts(found.attempts, full=full, in_utc=in_utc))
    return "\n".join(lines)


def _take(taken: Taken, full: bool) -> str:
    if taken.result is not None:
        return _stored(taken.result, full)
    if taken.size is not None:
        return f"{taken.size:,} bytes"
    return f"nothing: it was {taken.outcome}" if taken.outcome not in (None, "completed") else "nothing yet"


def _attempts(attempts: Sequence[Attempt], *, full: bool, in_utc: bool) -> Iterator[str]:
    for attempt in attempts:
        colour = terminal.COLOURS.get("discarded" if attempt.state in ("failed", "lost") else attempt.state)
        said = f"  {attempt.number}  {click.style(attempt.state, fg=colour)}"
        if attempt.began_at:
            said += f", began {moments.text(attempt.began_at, in_utc=in_utc)}"
        if attempt.ended_at:
            said += f", ended {moments.text(attempt.ended_at, in_utc=in_utc)}"
        if attempt.began_at and attempt.ended_at:
            said += f", took {duration((attempt.ended_at - attempt.began_at).total_seconds())}"
        yield said + (f", on {printable(attempt.runs_on)}" if attempt.runs_on else "")
        if attempt.error:
            error = attempt.error if full else folded(attempt.error)
            yield textwrap.indent(printable_lines(error.rstrip()), "     ")


def _node_as_json(found: NodeRecord) -> dict[str, Any]:
    return {
        **asdict(found),
        "inputs": None if found.inputs is None else {name: value.value for name, value in found.inputs.items()},
        "takes": [
            {"step": it.step, "outcome": it.outcome, "result": it.result and it.result.value, "size": it.size}
            for it in found.takes
        ],
        "result": found.result and found.result.value,
    }


# --- both ------------------------------------------------------------------------------------------------------------


def _used(totals: Totals) -> str:
    calls = f"{totals.calls:,} call{'s' if totals.calls != 1 else ''} of models"
    cost = f"{'at least ' if totals.lower_bound else ''}{money(totals.cost)}"
    return f"{calls}, {totals.input:,} tokens in, {totals.output:,} out, {cost}"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return ["", click.style(title, bold=True), *found] if found else []


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Align names with their values; a value of several lines goes below its name."""
    listed = list(rows)
    width = max((columns(name) for name, _ in listed), default=0)
    lines = []
    for name, value in listed:
        label = click.style(name + " " * (width - columns(name)), dim=True)
        first, *others = value.split("\n")
        lines += [f"  {label}  {first}", *(" " * (width + 4) + other for other in others)]
    return lines


def _json(value: Any, full: bool) -> str:
    return _shown(terminal.as_json(value), full)


def _stored(value: StoredJson, full: bool) -> str:
    if value.is_cut:
        return _shown(value.text, full, value.size)
    return _shown(terminal.as_json(value.value), full)


def _shown(text: str, full: bool, size: int | None = None) -> str:
    """JSON as it is printed: cut if it is long."""
    if full or (len(text) <= LINE and size is None):
        return text
    whole = len(text.encode("utf-8", "surrogatepass")) if size is None else size
    return f"{printable_lines(text[:LINE])}\n... {whole:,} bytes in all; see them with --full or --json"
