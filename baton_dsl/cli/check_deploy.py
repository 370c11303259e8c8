"""`baton check-deploy`: check whether this code can finish the workflows that are running."""

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
from baton_dsl.core.wording import counted
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.deploy import Judgement, Obstacle, judge

NAMED: Final = 5
"""How many workflows are named for each problem."""


@click.command("check-deploy")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True, callback=module_arguments)
@click.option(
    "--stopped", is_flag=True, help="All old workers have stopped: only this code will run the remaining steps."
)
@click.option("--json", "as_json", is_flag=True, help="Print every problem of every workflow as JSON.")
@database.options
def command(modules: list[ModuleType], stopped: bool, as_json: bool, dsn: str | None, prefix: str) -> int:
    """List the running workflows that this code can't finish.

    Run it with the new code, before you deploy it. It imports the modules, and ignores workflows whose steps are in
    other packages. It validates stored values, and compares the schemas of values that are not stored yet.

    \b
    Exit codes:
      0  this code can finish all of them, as far as baton can know
      1  it can't finish some of them
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
        yield f"No workflow of {quoted(packages)} is running."
    elif not judgement.obstacles:
        yield f"{counted(count, 'workflow')} running: this code can finish {'it' if count == 1 else 'them'}."
    else:
        stuck = len({obstacle.workflow_id for obstacle in judgement.obstacles})
        yield f"{counted(count, 'workflow')} running: this code can't finish {stuck:,}."


def _problem(obstacle: Obstacle) -> tuple[str, str, str, str]:
    return obstacle.flow, obstacle.step, obstacle.problem, obstacle.remedy
