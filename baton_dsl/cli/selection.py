"""Which workflows a command works on: those with the given ids, or all that match the options."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import click

from baton_dsl.cli import table, terminal
from baton_dsl.cli.ages import AGE
from baton_dsl.cli.database import Target
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.listing import Listed, full_ids, workflows
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate_sync

ID: Final = "The beginning of an id is enough, if only one workflow's id begins that way."


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the workflows have in common, as options say it; None where nothing is said."""

    flow: str | None = None
    label: str | None = None
    outcome: str | None = None
    is_running: bool | None = None
    is_stuck: bool | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that are given, as `Which` takes them."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which workflows a command is to do something to, and how sure whoever typed it is.

    Attributes:
        ids: Those that were given, perhaps shortened.
        common: What they have in common.
        yes: Don't ask.
        dry_run: Show them, and choose none.
    """

    ids: tuple[str, ...]
    common: Conditions
    yes: bool
    dry_run: bool


def conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what workflows have in common, for a command that takes `common`."""

    @functools.wraps(command)
    def gathered(
        *args: Any,
        flow_name: str | None,
        label: str | None,
        outcome: str | None,
        running: bool | None,
        stuck: bool | None,
        older_than: timedelta | None,
        newer_than: timedelta | None,
        **others: Any,
    ) -> Any:
        common = Conditions(
            flow=flow_name,
            label=label,
            outcome=outcome,
            is_running=running,
            is_stuck=stuck,
            older_than=older_than,
            newer_than=newer_than,
        )
        return command(*args, common=common, **others)

    options = (
        click.option("--flow", "flow_name", metavar="NAME", help="Only workflows of this flow."),
        click.option("--label", metavar="NAME", help="Only workflows with this label."),
        click.option(
            "--outcome",
            type=click.Choice(["completed", "cancelled", "discarded"]),
            help="Only workflows with this outcome.",
        ),
        click.option("--running/--ended", default=None, help="Only workflows that have not ended, or only ended ones."),
        click.option(
            "--stuck/--not-stuck",
            "stuck",
            default=None,
            help="Only workflows in which nothing moves by itself, or only the others.",
        ),
        click.option(
            "--older-than",
            type=AGE,
            metavar="AGE",
            help="Only workflows inserted longer ago than this, such as 90m, 12h or 30d.",
        ),
        click.option("--newer-than", type=AGE, metavar="AGE", help="Only workflows inserted within this time."),
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), gathered)


def many(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of a command on any number of workflows: it takes them as `selected`."""

    @functools.wraps(command)
    def gathered(*args: Any, ids: tuple[str, ...], common: Conditions, yes: bool, dry_run: bool, **others: Any) -> Any:
        return command(*args, selected=Selection(ids=ids, common=common, yes=yes, dry_run=dry_run), **others)

    options = (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--yes", "-y", is_flag=True, help="Don't ask for confirmation."),
        click.option("--dry-run", is_flag=True, help="Only list the workflows that match."),
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), conditions(gathered))


def database_of(target: Target) -> Database:
    """The database of a command, for the functions of the runtime."""
    return Database.configured(dsn=target.dsn, prefix=target.prefix)


def full_id(database: Database, start: str) -> str:
    """The id that begins so."""
    (found,) = read_sync(database, full_ids([start]))
    return found


def chosen(
    database: Database, verb: str, selected: Selection, *, applies: Callable[[Listed], bool], instead: str = ""
) -> list[str]:
    """The ids of the workflows to do something to, after a word with who sits at the terminal.

    Nobody is asked about workflows that were given by their ids alone.

    Args:
        database: Where they are.
        verb: What is done to them, such as `cancel`.
        selected: Which they are.
        applies: Whether it can be done to one.
        instead: What may be wanted of a workflow that was given by its id, runs, and to which it can't be done.

    Raises:
        click.UsageError: If nothing says which ones; or nobody can be asked.
        click.Abort: If the answer is no.
    """
    given = dict(selected.common.given)
    if selected.ids:
        given["ids"] = read_sync(database, full_ids(list(selected.ids)))
    if not given:
        raise click.UsageError("name the workflows, by their ids or with options such as --flow and --outcome")
    found = read_sync(database, workflows(WorkflowFilter(**given)))
    fitting = [workflow for workflow in found if applies(workflow)]
    for workflow in found:
        if selected.ids and workflow not in fitting:
            terminal.echo(f"workflow {workflow.id} is {workflow.standing}: there is nothing to {verb}", err=True)
            if instead and workflow.standing in ("running", "stuck"):
                terminal.echo(f"  help: {instead}", err=True)
    if not fitting:
        if not selected.ids or not found:
            terminal.echo(f"No matching workflow to {verb}.", err=True)
        return []
    if selected.dry_run:
        terminal.echo_coloured(table.of_workflows(fitting, width=terminal.width()))
        terminal.echo(f"Without --dry-run, it would {verb} {counted(len(fitting))}.", err=True)
        return []
    if selected.common.given and not selected.yes:
        if not is_asked():
            raise click.UsageError(f"to {verb} {counted(len(fitting))} without a question, add --yes")
        click.confirm(f"{verb.capitalize()} {counted(len(fitting))}?", abort=True, err=True)
    return [workflow.id for workflow in fitting]


def is_asked() -> bool:
    """Whether somebody sits at standard input who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()  # None: it is closed


def counted(number: int) -> str:
    """So many workflows, in words."""
    return f"{number:,} workflow{'' if number == 1 else 's'}"


def operate(
    database: Database, action: Action, done: str, selected: Selection, *, applies: Callable[[Listed], bool]
) -> None:
    """Do something to workflows, and say to which it was done: `done` is such as `cancelled`."""
    ids = chosen(database, action.name.lower(), selected, applies=applies)
    tell(done, operate_sync(database, action, WorkflowFilter(ids=ids)))


def tell(done: str, ids: list[str]) -> None:
    """Say what was done, such as `cancelled`, and to which."""
    if len(ids) == 1:
        terminal.echo(f"{done} workflow {ids[0]}")
    elif ids:
        terminal.echo(f"{done} {counted(len(ids))}")
