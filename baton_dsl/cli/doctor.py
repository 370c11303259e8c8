"""`baton doctor`: report problems of the database, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from types import ModuleType
from typing import Final

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.ages import AGE
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import module_arguments
from baton_dsl.core.wording import duration, printable, size
from baton_dsl.runtime.database.pooling import Route, route_of
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.checks import age_in_words, age_option
from baton_dsl.runtime.observing.doctor import RETAIN, Finding, Report, examine
from baton_dsl.runtime.observing.fleet import QueueStatus
from baton_dsl.runtime.observing.volume import Prunable, telling


@click.command("doctor")
@click.argument("modules", metavar="[MODULE]...", nargs=-1, callback=module_arguments)
@click.option(
    "--retain",
    type=AGE,
    metavar="AGE",
    default=RETAIN,
    show_default=f"{RETAIN.days}d",
    help="How long you want to keep ended workflows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@database.options
def command(modules: list[ModuleType], retain: timedelta, as_json: bool, dsn: str | None, prefix: str) -> int:
    """Check the database: its schema and triggers, queues without workers, steps without jobs, and counts.

    It also shows how large the tables are, what a prune would free, whether the connection goes through a pooler, and
    how long the oldest job has waited in each queue. Given modules, it imports them and reports each step that running
    workflows need but this code does not have (BTN501).

    It changes nothing. Exit code: 0 if nothing is wrong (it may still give advice), 1 if something is wrong.

    \b
    Examples:
      baton doctor
      baton doctor app.flows --retain 7d
    """
    packages = sorted({module.__name__.partition(".")[0] for module in modules})
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        report = read_sync(where, examine(target.prefix, retain=retain, packages=packages))
        route = route_of(where.sync_connection)
    if as_json:
        terminal.echo_json({**asdict(report), "connection": route})
    else:
        terminal.echo_coloured(report_text(report, route))
    return Exit.DONE if report.is_well else Exit.WRONG


def report_text(report: Report, route: Route) -> str:
    """The report as text: sizes and waiting times, then two lines for each finding."""
    lines = [printable(report.about)]
    lines += [f"  {printable(line)}" for line in (*_measured(report), f"connection: {route}")]
    lines += map(_told, report.findings)
    wrong = sum(finding.is_wrong for finding in report.findings)
    if not wrong:
        lines.append(click.style("Nothing is wrong.", fg="green"))
    return "\n".join(lines)


LARGEST: Final = 3
"""How many tables are named."""


def _measured(report: Report) -> Iterator[str]:
    if report.tables:
        named = ", ".join(f"{table.name} {size(table.size)}" for table in report.tables[:LARGEST])
        yield f"tables: {size(sum(table.size for table in report.tables))}, of which {named}"
        yield f"baton prune: {_freed(report.prunable)}"
        waiting = [f'"{queue.name}" {duration(_seconds(queue))}' for queue in report.waiting]
        yield f"oldest ready job: {', '.join(waiting) or 'none'}"


def _freed(ages: Sequence[Prunable]) -> str:
    """What a prune would remove for each age."""
    said = [
        f"--older-than {age_option(each.older_than)} would free about {size(each.size)} "
        f"({selection.counted(each.workflows)})"
        for each in telling(ages)
    ]
    return "; ".join(said) or f"no workflow ended more than {age_in_words(ages[-1].older_than)} ago"


def _seconds(queue: QueueStatus) -> float:
    return queue.oldest_ready.total_seconds() if queue.oldest_ready else 0.0


def _told(finding: Finding) -> str:
    word = click.style("wrong", fg="red", bold=True) if finding.is_wrong else click.style("advice", fg="yellow")
    return f"{word}: {printable(finding.message)}\n  help: {printable(finding.help)}"
