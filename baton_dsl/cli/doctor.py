"""`baton doctor`: what is wrong with the database, and what to do about it."""

from __future__ import annotations

from datetime import timedelta

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.cli.ages import AGE
from baton_dsl.cli.exits import Exit
from baton_dsl.core.wording import printable
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.doctor import RETAIN, Finding, Report, examine


@click.command("doctor")
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
def command(retain: timedelta, as_json: bool, dsn: str | None, prefix: str) -> int:
    """Check the database: its schema and triggers, queues without workers, steps without jobs, and counts.

    It changes nothing. Exit code: 0 if nothing is wrong (there may be advice), 1 if something is wrong.
    """
    with database.opened(dsn, prefix) as target:
        report = read_sync(selection.database_of(target), examine(target.prefix, retain=retain))
    if as_json:
        terminal.echo_json(report)
    else:
        terminal.echo_coloured(told(report))
    return Exit.DONE if report.is_well else Exit.WRONG


def told(report: Report) -> str:
    """What was found, a finding in two lines."""
    lines = [printable(report.about), *map(_told, report.findings)]
    wrong = sum(finding.is_wrong for finding in report.findings)
    if not wrong:
        lines.append(click.style("Nothing is wrong.", fg="green"))
    return "\n".join(lines)


def _told(finding: Finding) -> str:
    word = click.style("wrong", fg="red", bold=True) if finding.is_wrong else click.style("advice", fg="yellow")
    return f"{word}: {printable(finding.message)}\n  help: {printable(finding.help)}"
