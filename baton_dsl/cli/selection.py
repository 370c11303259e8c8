"""Select the workflows that a command works on: those with the given ids, or all that match the options."""

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
from baton_dsl.core import wording
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.listing import Listed, full_ids, workflows
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate_sync

ID: Final = "The beginning of an id is enough, if only one workflow's id begins that way."


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions that the options set; None where an option is not used."""

    flow: str | None = None
    label: str | None = None
    outcome: str | None = None
    is_running: bool | None = None
    is_stuck: bool | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The conditions that are set, as keyword arguments of `WorkflowFilter`."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The workflows that a command works on, and whether to ask for confirmation.

    Attributes:
        ids: The ids on the command line, perhaps shortened.
        common: The conditions that the workflows must match.
        yes: Don't ask for confirmation.
        dry_run: List the workflows, and select none.
    """

    ids: tuple[str, ...]
    common: Conditions
    yes: bool
    dry_run: bool


def conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are conditions on workflows, for a command that takes `common`."""

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
            help="Only workflows that can't progress without help, or only the others.",
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
    """Add the arguments and options that select workflows, for a command that takes `selected`."""

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
    """The database of a command, as the functions of the runtime take it."""
    return Database.configured(dsn=target.dsn, prefix=target.prefix)


def full_id(database: Database, start: str) -> str:
    """The whole id of the one workflow whose id begins with a text."""
    (found,) = read_sync(database, full_ids([start]))
    return found


def chosen(
    database: Database, verb: str, selected: Selection, *, applies: Callable[[Listed], bool], instead: str = ""
) -> list[str]:
    """The ids of the selected workflows that an action applies to, after a confirmation by the user.

    No confirmation is needed if the user named the workflows by their ids.

    Args:
        database: The database of the workflows.
        verb: The action, such as `cancel`.
        selected: The workflows that the user selected.
        applies: Whether the action applies to a workflow.
        instead: What to suggest if a running workflow was named by its id and the action does not apply to it.

    Raises:
        click.UsageError: If no workflow is selected; or if a confirmation is needed and nobody can give it.
        click.Abort: If the user says no.
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
    """Whether standard input is a terminal, so that the user can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()  # None: it is closed


def counted(number: int) -> str:
    """The number of workflows in words, such as `1 workflow`."""
    return wording.counted(number, "workflow")


def operate(
    database: Database, action: Action, done: str, selected: Selection, *, applies: Callable[[Listed], bool]
) -> None:
    """Apply an action to the selected workflows, and print which it changed. `done` is a word such as `cancelled`."""
    ids = chosen(database, action.name.lower(), selected, applies=applies)
    tell(done, operate_sync(database, action, WorkflowFilter(ids=ids)))


def tell(done: str, ids: list[str]) -> None:
    """Print which workflows were changed. `done` is a word such as `cancelled`."""
    if len(ids) == 1:
        terminal.echo(f"{done} workflow {ids[0]}")
    elif ids:
        terminal.echo(f"{done} {counted(len(ids))}")
