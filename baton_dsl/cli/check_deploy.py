"""`baton check-deploy`: whether this code can finish the workflows that are in flight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from types import ModuleType
from typing import Final

import click

from baton_dsl.cli import database, terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.cli.target import module_arguments
from baton_dsl.core.diagnostics import quoted
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.deploy import Judgement, Obstacle, judge

NAMED: Final = 5
"""Workflows that are named of those with the same problem."""


@click.command("check-deploy")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True, callback=module_arguments)
@click.option(
    "--stopped", is_flag=True, help="No worker runs the code from before any more: what has not run yet is run by this."
)
@click.option("--json", "as_json", is_flag=True, help="Print every problem of every workflow as JSON.")
@database.options
def command(modules: list[ModuleType], stopped: bool, as_json: bool, dsn: str | None, prefix: str) -> int:
    """List the workflows in flight that this code can't finish.

    Run it with the new code, before it is deployed. The modules are imported; workflows whose steps are in other
    packages than these are left alone. What is stored is tried, what is not yet stored is compared by its schema.

    \b
    Exit codes:
      0  this code can finish all of them, as far as can be known
      1  there are some that it can't finish
    """
    packages = sorted({module.__name__.partition(".")[0] for module in modules})
    with database.opened(dsn, prefix) as target:
        judgement = judge(Database.configured(dsn=target.dsn, prefix=target.prefix), packages, stopped=stopped)
    if as_json:
        terminal.echo_json(judgement)
    else:
        terminal.echo("\n".join(_told(judgement, packages)))
    return Exit.NOT_COMPLETED if judgement.obstacles else Exit.DONE


def _told(judgement: Judgement, packages: Sequence[str]) -> Iterator[str]:
    for obstacle, alike in groupby(judgement.obstacles, _problem):
        ids = [each.workflow_id for each in alike]
        flow, step, problem, remedy = obstacle
        more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
        yield f'flow "{flow}", step "{step}": {problem}'
        yield f"  workflows: {', '.join(ids[:NAMED])}{more}"
        yield f"  help: {remedy}"
    count = judgement.workflows
    if not count:
        yield f"No workflow of {quoted(packages)} is in flight."
    elif not judgement.obstacles:
        yield f"{_counted(count)} in flight: this code can finish {'it' if count == 1 else 'them'}."
    else:
        stuck = len({obstacle.workflow_id for obstacle in judgement.obstacles})
        yield f"{_counted(count)} in flight: this code can't finish {stuck:,}."


def _problem(obstacle: Obstacle) -> tuple[str, str, str, str]:
    return obstacle.flow, obstacle.step, obstacle.problem, obstacle.remedy


def _counted(workflows: int) -> str:
    return f"{workflows:,} workflow{'' if workflows == 1 else 's'}"
